//! What other programs call: no panic leaves it, and no guard is around what throws.

use std::fs;
use std::path::{Path, PathBuf};

/// What keeps a panic inside.
const GUARDS: [&str; 4] = ["guard", "guarded", "dropped", "load"];
/// What keeps a panic inside, and lets through what DuckDB throws while its vectors are written.
const WRITES: &str = "written";
/// DuckDB's functions that throw where its memory is full: called by the file that no guard is around.
const THROW: [&str; 6] = [
    "duckdb_vector_assign_string_element",
    "duckdb_unsafe_vector_assign_string_element",
    "duckdb_vector_ensure_validity_writable",
    "duckdb_list_vector_reserve",
    "duckdb_list_vector_set_size",
    "duckdb_data_chunk_set_size",
];
const UNGUARDED: &str = "host/duckdb/writing.rs";
/// Those of libjpeg, which report by unwinding, into `caught`.
const UNWIND: [&str; 2] = ["unwind_for_warnings", "unwind"];

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(files).filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
}

/// The functions that other programs can call: name, whether it may unwind, body.
fn callbacks(source: &str) -> Vec<(String, bool, String)> {
    let mut found = Vec::new();
    let lines: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    for (number, line) in lines.iter().enumerate() {
        let Some((head, rest)) = line.split_once(" fn ").filter(|(head, _)| head.contains("extern \"")) else {
            continue;
        };
        if head.contains("type ") || !head.chars().all(|char| char.is_ascii_alphanumeric() || " \"-_".contains(char)) {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let end = |line: &&&str| line.len() == indent + 1 && line.ends_with('}');
        let body: Vec<&str> = lines[number..].iter().take_while(|line| !end(line)).copied().collect();
        let unwinds = head.contains("C-unwind");
        let head = body.iter().position(|line| line.ends_with('{')).map_or(0, |place| place + 1);
        let name = rest.split(['(', '<']).next().unwrap_or_default();
        found.push((name.to_string(), unwinds, body[head..].join("\n")));
    }
    found
}

/// A body without the closure `work` that it begins with, which is called by what follows.
fn behind_work(body: &str) -> &str {
    let work = body.trim_start().strip_prefix("let work = || {\n");
    work.and_then(|work| work.split_once("\n    };\n")).map_or(body, |(_, rest)| rest)
}

/// What could panic, in a source without its lines of comment: macros, indices, sums that overflow.
fn what_panics(source: &str) -> Option<&str> {
    let is_code = |line: &&str| !line.trim_start().starts_with(['/', '#']);
    let is_index = |line: &str| {
        let before = line.match_indices('[').filter_map(|(at, _)| line[..at].chars().next_back());
        before.into_iter().any(|char| char.is_alphanumeric() || ")]_".contains(char))
    };
    let is_risky = |line: &str| {
        let words = ["unwrap()", "expect(", " + ", " - ", " * ", " / ", " % ", " << ", "+= ", "-= ", "*= "];
        let macros = line.replace("on_buffer!", "").contains("!(") || line.contains("![");
        macros || is_index(line) || words.iter().any(|word| line.contains(word))
    };
    source.lines().filter(is_code).find(|line| is_risky(line))
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
        for (name, may_unwind, body) in callbacks(&fs::read_to_string(&path).unwrap()) {
            all += 1;
            let says_what_is_known =
                !body.contains(['{', ';', '!', '[']) && first_call(&body).is_none_or(|f| f == "as_ptr");
            let is_guarded = first_call(&body).is_some_and(|first| GUARDS.contains(&first));
            let unwinds = path.ends_with("sys/jpeg.rs") && UNWIND.contains(&name.as_str());
            let writes = may_unwind && first_call(behind_work(&body)) == Some(WRITES);
            let is_kept = (is_guarded || says_what_is_known) && !may_unwind;
            assert!(is_kept || writes || unwinds, "{} in {} can panic", name, path.display());
        }
    }
    assert!(all > 30, "{all} callbacks");
}

#[test]
fn no_guard_is_around_what_throws() {
    let hosts = ["duckdb", "duckdb_v1", "duckdb_v2"]
        .map(|host| Path::new(env!("CARGO_MANIFEST_DIR")).join("src/host").join(host));
    for path in hosts.iter().flat_map(|host| files(host)) {
        let source = fs::read_to_string(&path).unwrap();
        if path.ends_with(UNGUARDED) {
            assert_eq!(what_panics(&source), None);
            assert!(THROW.iter().any(|name| source.contains(&format!("table.{name}"))));
        }
        // `name(` calls what libduckdb-sys says does not unwind, also in the file that is not guarded
        let called = THROW.iter().find(|name| {
            [format!("{name}("), format!("{name}_len(")].iter().any(|call| source.contains(call.as_str()))
        });
        assert_eq!(called, None, "{}", path.display());
    }
}

#[test]
fn what_can_panic_is_seen() {
    for line in ["a[0]", "f()[i]", "let c = a + b;", "x.unwrap()", "assert!(x)", "vec![1]", "a += 1;"] {
        assert_eq!(what_panics(line), Some(line));
    }
    for line in ["// a[0]", "#[derive(Clone)]", "rows: &[u32]", "a.wrapping_mul(*b)", "&*a"] {
        assert_eq!(what_panics(line), None);
    }
}

#[test]
fn what_is_not_guarded_is_seen() {
    let source = "pub unsafe extern \"C\" fn f(\n    a: u8,\n) -> u8 {\n    // guard(\n    g(guard(a))\n}\n";
    assert_eq!(callbacks(source), [("f".to_string(), false, "    g(guard(a))".to_string())]);
    assert!(callbacks(&source.replace("\"C\"", "\"C-unwind\""))[0].1);
    let body = "    let work = || {\n        f()\n    };\n    // so\n    g(work)";
    assert_eq!(first_call(behind_work(body)), Some("g"));
    assert_eq!(first_call(behind_work("    f(|| g())")), Some("f"));
    assert_eq!(first_call("    let x = unsafe { guard(|| g()) };"), Some("guard"));
    assert_eq!(first_call("    unsafe { dropped::<Vec<u8>>(data) };"), Some("dropped"));
    assert_eq!(first_call("    1"), None);
}
