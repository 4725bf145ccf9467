//! Who knows whom: what a file imports, as its `use` lines say, makes no circle, neither of files nor of folders, and each
//! floor knows those below it alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up.
const FLOORS: [&str; 3] = ["sys", "core", "host"];

/// Which names what imports.
type Arrows = BTreeMap<String, BTreeSet<String>>;

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(files).filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
}

/// The modules of the source, `core::trees::kernel`, and what is in each beside tests.
fn modules() -> BTreeMap<String, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let module = |path: PathBuf| {
        let place = path.strip_prefix(&source).unwrap().with_extension("");
        let parts: Vec<_> = place.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let parts = if parts.last().is_some_and(|last| last == "mod") { &parts[..parts.len() - 1] } else { &parts };
        (parts.join("::"), without_tests(&fs::read_to_string(path).unwrap()))
    };
    let is_tested_only = |name: &String| name == "lib" || name.starts_with("tests") || name.starts_with("core::fuzz");
    files(&source).into_iter().map(module).filter(|(name, _)| !is_tested_only(name)).collect()
}

fn without_tests(source: &str) -> String {
    let code = |line: &&str| !line.trim_start().starts_with("//");
    let before = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let before = before.split("#[cfg(test)]\npub mod tests").next().unwrap_or_default();
    before.lines().filter(code).collect::<Vec<_>>().join("\n")
}

/// The paths that a tree of a `use` line names.
fn expanded(tree: &str) -> Vec<String> {
    let Some((prefix, rest)) = tree.split_once('{') else { return vec![tree.trim().to_string()] };
    let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for char in inside.chars() {
        match char {
            ',' if depth == 0 => parts.push(String::new()),
            _ => parts.last_mut().unwrap().push(char),
        }
        depth += i32::from(char == '{') - i32::from(char == '}');
    }
    let all = parts.iter().filter(|part| !part.trim().is_empty());
    all.flat_map(|part| expanded(part.trim())).map(|path| format!("{}{path}", prefix.trim())).collect()
}

/// What a module's paths name, from the ground of the crate; `name` is its own.
fn named(name: &str, source: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for statement in source.split(';') {
        let line = statement.trim_start().trim_start_matches("#[cfg(test)]").trim_start();
        let line = line.strip_prefix("pub ").unwrap_or(line);
        if let Some(tree) = line.strip_prefix("use ") {
            paths.extend(expanded(tree));
        }
    }
    let is_path = |char: char| char.is_alphanumeric() || "_:".contains(char);
    let inline = source.split(|char| !is_path(char)).filter(|word| word.starts_with("crate::"));
    paths.extend(inline.map(str::to_string));
    let above = |mut path: &str| {
        let mut base: Vec<&str> = name.split("::").collect();
        if let Some(rest) = path.strip_prefix("crate::") {
            return Some(rest.to_string());
        }
        if let Some(rest) = path.strip_prefix("self::") {
            return Some(format!("{name}::{rest}"));
        }
        if !path.starts_with("super::") {
            return Some(format!("{name}::{path}")); // a child of its own, or a crate, which is none
        }
        while let Some(rest) = path.strip_prefix("super::") {
            base.pop()?;
            path = rest;
        }
        base.push(path);
        Some(base.join("::"))
    };
    paths.iter().filter_map(|path| above(path)).collect()
}

fn arrows(modules: &BTreeMap<String, String>) -> Arrows {
    let module_of = |path: &str| {
        let parts: Vec<&str> = path.split("::").collect();
        (1..=parts.len()).rev().map(|count| parts[..count].join("::")).find(|name| modules.contains_key(name))
    };
    let of = |(name, source): (&String, &String)| {
        let found = named(name, source).into_iter().filter_map(|path| match path.split_once("::") {
            Some(("on_buffer", _)) => None,
            _ => module_of(&path),
        });
        (name.clone(), found.filter(|other| other != name).collect())
    };
    modules.iter().map(of).collect()
}

/// A way from a name back to itself.
fn circle(arrows: &Arrows) -> Option<Vec<String>> {
    let mut done: BTreeSet<&String> = BTreeSet::new();
    fn walk<'a>(
        arrows: &'a Arrows,
        at: &'a String,
        way: &mut Vec<&'a String>,
        done: &mut BTreeSet<&'a String>,
    ) -> bool {
        if way.contains(&at) {
            way.push(at);
            return true;
        }
        if done.contains(at) {
            return false;
        }
        way.push(at);
        if arrows.get(at).into_iter().flatten().any(|next| walk(arrows, next, way, done)) {
            return true;
        }
        way.pop();
        done.insert(at);
        false
    }
    for name in arrows.keys() {
        let mut way = Vec::new();
        if walk(arrows, name, &mut way, &mut done) {
            return Some(way.into_iter().cloned().collect());
        }
    }
    None
}

/// The same of folders: `host::duckdb_v1` for all that is in it.
fn of_folders(arrows: &Arrows) -> Arrows {
    let folder = |name: &String, other: &String| {
        let (a, b): (Vec<&str>, Vec<&str>) = (name.split("::").collect(), other.split("::").collect());
        let shared = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
        let top = |parts: &[&str]| parts[..(shared + 1).min(parts.len())].join("::");
        // one within the other: a folder and what is in it
        (shared < a.len() && shared < b.len()).then(|| (top(&a), top(&b)))
    };
    let mut found = Arrows::new();
    for (name, others) in arrows {
        for (from, to) in others.iter().filter_map(|other| folder(name, other)) {
            found.entry(from).or_default().insert(to);
        }
    }
    found
}

#[test]
fn there_is_no_circle() {
    let arrows = arrows(&modules());
    assert!(arrows.len() > 60 && arrows.values().map(BTreeSet::len).sum::<usize>() > 300);
    assert_eq!(circle(&arrows), None);
    assert_eq!(circle(&of_folders(&arrows)), None);
}

#[test]
fn each_floor_knows_those_below() {
    let floor = |name: &str| FLOORS.iter().position(|floor| name.split("::").next() == Some(*floor));
    for (name, others) in arrows(&modules()) {
        let of = floor(&name).unwrap_or_else(|| panic!("{name} is on no floor"));
        for other in others {
            assert!(floor(&other) <= Some(of), "{name} imports {other}, which is above it");
        }
    }
}

#[test]
fn circles_are_seen() {
    let source = |text: &str| text.to_string();
    let modules = BTreeMap::from([
        ("a".to_string(), source("use crate::b::{c::X, d};\nuse std::fs;")),
        ("b::c".to_string(), source("pub use super::d::{self, Y};")),
        ("b::d".to_string(), source("fn f() { crate::a::g() }")),
    ]);
    let arrows = arrows(&modules);
    let names = |name: &str| arrows[name].iter().cloned().collect::<Vec<_>>();
    assert_eq!(
        (names("a"), names("b::c"), names("b::d")),
        (vec!["b::c".into(), "b::d".into()], vec!["b::d".into()], vec!["a".into()])
    );
    assert!(circle(&arrows).is_some());
    assert_eq!(of_folders(&arrows)["b"], BTreeSet::from(["a".to_string()]));
    assert!(circle(&of_folders(&arrows)).is_some());
    let without = without_tests("use a;\n// use crate::b;\n#[cfg(test)]\nmod tests {\n    use crate::c;\n}\n");
    assert_eq!(without, "use a;");
}
