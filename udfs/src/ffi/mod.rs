//! The only place of `unsafe` code: the host on one side, ONNX Runtime on the other, and the processor below.

#[cfg(test)]
pub mod allocations;
mod attributes;
pub mod cpu;
pub mod duckdb;
pub mod jpeg;
pub mod library;
pub mod onnxruntime;
pub mod operators;
mod python;
pub mod watchdog;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// What keeps a panic inside.
    const GUARDS: [&str; 4] = ["guard", "guarded", "dropped", "load"];
    /// Those of libjpeg, which report by unwinding, into `caught`.
    const UNWIND: [&str; 2] = ["unwind_for_warnings", "unwind"];

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let files = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
        entries.flat_map(files).filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
    }

    /// Names and bodies of the functions that other programs can call.
    fn callbacks(source: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let lines: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for (number, line) in lines.iter().enumerate() {
            let Some((head, rest)) = line.split_once(" fn ").filter(|(head, _)| head.contains("extern \"")) else {
                continue;
            };
            if head.contains("type ")
                || !head.chars().all(|char| char.is_ascii_alphanumeric() || " \"-_".contains(char))
            {
                continue;
            }
            let indent = line.len() - line.trim_start().len();
            let end = |line: &&&str| line.len() == indent + 1 && line.ends_with('}');
            let body: Vec<&str> = lines[number..].iter().take_while(|line| !end(line)).copied().collect();
            let head = body.iter().position(|line| line.ends_with('{')).map_or(0, |place| place + 1);
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            found.push((name.to_string(), body[head..].join("\n")));
        }
        found
    }

    /// The first function that a body calls; None where it calls none.
    fn first_call(body: &str) -> Option<&str> {
        let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
        body.match_indices(['(', '<']).find_map(|(at, _)| {
            let before = body[..at].trim_end_matches("::");
            let start = before.rfind(|char| !is_name(char)).map_or(0, |place| place + 1);
            (start < before.len()).then(|| &before[start..])
        })
    }

    #[test]
    fn no_panic_leaves_a_callback() {
        let mut all = 0;
        for path in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
            for (name, body) in callbacks(&fs::read_to_string(&path).unwrap()) {
                all += 1;
                let says_what_is_known =
                    !body.contains(['{', ';', '!', '[']) && first_call(&body).is_none_or(|f| f == "as_ptr");
                let is_guarded = first_call(&body).is_some_and(|first| GUARDS.contains(&first));
                let unwinds = path.ends_with("ffi/jpeg.rs") && UNWIND.contains(&name.as_str());
                assert!(is_guarded || says_what_is_known || unwinds, "{} in {} can panic", name, path.display());
            }
        }
        assert!(all > 30, "{all} callbacks");
    }

    #[test]
    fn what_is_not_guarded_is_seen() {
        let source = "pub unsafe extern \"C\" fn f(\n    a: u8,\n) -> u8 {\n    // guard(\n    g(guard(a))\n}\n";
        assert_eq!(callbacks(source), [("f".to_string(), "    g(guard(a))".to_string())]);
        assert_eq!(first_call("    let x = unsafe { guard(|| g()) };"), Some("guard"));
        assert_eq!(first_call("    unsafe { dropped::<Vec<u8>>(data) };"), Some("dropped"));
        assert_eq!(first_call("    1"), None);
    }
}
