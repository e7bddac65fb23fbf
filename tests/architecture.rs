//! The is_built_in rule that a machine can see: a room uses only rooms on lower floors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Rooms by floor; rooms of one floor do not use each other.
const FLOORS: [(&str, u8); 13] = [
    ("numeric", 1),
    ("data", 2),
    ("model", 2),
    ("kernel", 3),
    ("prior", 3),
    ("rescale", 3),
    ("train", 3),
    ("flatness", 4),
    ("function", 4),
    ("gate", 5),
    ("study", 5),
    ("report", 6),
    ("cli", 7),
];

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// Rooms that a line of code names after `crate::`, by `use` or in a path.
fn rooms_named(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or_default();
    code.split("crate::")
        .skip(1)
        .flat_map(|rest| {
            let list = rest.strip_prefix('{').and_then(|list| list.split('}').next()).unwrap_or(rest);
            let names = if rest.starts_with('{') { list.split(',').collect::<Vec<_>>() } else { vec![list] };
            names
                .into_iter()
                .map(|name| name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>())
        })
        .filter(|name| !name.is_empty())
        .collect()
}

/// What is wrong with a line of a room, if anything.
fn violation(room: &str, line: &str) -> Option<String> {
    let own = floor(room)?;
    rooms_named(line).into_iter().find_map(|named| match floor(&named) {
        _ if named == room => None,
        Some(other) if other < own => None,
        Some(other) => Some(format!("{room} (floor {own}) uses {named} (floor {other})")),
        None => Some(format!("{room} names crate::{named}, which is no room")),
    })
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn no_room_imports_upward() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    let mut violations = Vec::new();
    for path in rust_files(&source) {
        let inside = path.strip_prefix(&source).unwrap();
        let room = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        if matches!(room, "main.rs" | "lib.rs") {
            continue;
        }
        assert!(floor(room).is_some(), "src/{room} is on no floor");
        for (index, line) in std::fs::read_to_string(&path).unwrap().lines().enumerate() {
            seen += rooms_named(line).len();
            if let Some(violation) = violation(room, line) {
                violations.push(format!("{}:{}: {violation}", inside.display(), index + 1));
            }
        }
    }
    assert!(seen > 100, "only {seen} imports were seen: the reader of this test is broken");
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn a_climbing_import_is_caught() {
    assert!(violation("numeric", "use crate::model::Network;").is_some());
    assert!(violation("kernel", "use crate::prior::Gram;").is_some(), "same floor");
    assert!(violation("prior", "use crate::{numeric::Estimate, gate};").is_some(), "nested lists");
    assert!(violation("prior", "let x = crate::attic::y();").is_some(), "unknown room");
    assert!(violation("prior", "use crate::numeric::Estimate; // not crate::gate").is_none());
    assert!(violation("gate", "use crate::{flatness, prior::Gram};").is_none());
}

/// Which module of a room each name belongs to that its `mod.rs` exports.
fn exports(module: &str) -> Vec<(String, String)> {
    let mut exports = Vec::new();
    for line in module.lines().map(str::trim) {
        let Some((_, path)) = line.split_once("use ").filter(|(before, _)| before.starts_with("pub")) else { continue };
        let Some((home, names)) = path.trim_end_matches(';').split_once("::") else { continue };
        let names = names.trim_matches(['{', '}']).split(',');
        exports.extend(names.map(|name| (name.trim().to_owned(), home.to_owned())));
    }
    exports
}

/// Circles among modules: the names along each, from a module back to itself.
fn circles(uses: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    fn walk(uses: &BTreeMap<String, BTreeSet<String>>, path: &mut Vec<String>, found: &mut Vec<String>) {
        for next in uses.get(path.last().expect("a path begins somewhere")).into_iter().flatten() {
            if *next == path[0] {
                found.push(format!("{} -> {next}", path.join(" -> ")));
            } else if !path.contains(next) && *next > path[0] {
                // Each circle once: from its first module in the alphabet.
                path.push(next.clone());
                walk(uses, path, found);
                path.pop();
            }
        }
    }
    let mut found = Vec::new();
    for start in uses.keys() {
        walk(uses, &mut vec![start.clone()], &mut found);
    }
    found
}

/// What each module of a room (a file, or a folder as a whole) uses of the others.
fn uses(room: &str) -> BTreeMap<String, BTreeSet<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room);
    let exports = exports(&std::fs::read_to_string(folder.join("mod.rs")).unwrap());
    let files = rust_files(&folder);
    let module = |path: &Path| {
        let first = path.strip_prefix(&folder).unwrap().components().next().unwrap();
        first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
    };
    let modules: BTreeSet<String> = files.iter().map(|path| module(path)).filter(|name| name != "mod").collect();
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files {
        let own = module(&path);
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().map(|line| line.split("//").next().unwrap_or_default()) {
            for rest in line.split(&format!("crate::{room}::")).skip(1) {
                let list = rest.strip_prefix('{').and_then(|list| list.split('}').next()).unwrap_or(rest);
                let names = if rest.starts_with('{') { list.split(',').collect::<Vec<_>>() } else { vec![list] };
                for name in names {
                    let name: String = name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    let home = exports.iter().find(|(exported, _)| *exported == name).map_or(&name, |(_, home)| home);
                    if *home != own && own != "mod" && modules.contains(home) {
                        uses.entry(own.clone()).or_default().insert(home.clone());
                    }
                }
            }
        }
    }
    uses
}

#[test]
fn the_files_of_the_gate_have_an_order() {
    let uses = uses("gate");
    assert!(uses.values().map(BTreeSet::len).sum::<usize>() > 40, "the reader of this test is broken: {uses:?}");
    assert_eq!(circles(&uses), Vec::<String>::new());
    // A circle is seen: two that use each other, and three in a ring.
    let planted = |arrows: &[(&str, &str)]| {
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in arrows {
            uses.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        circles(&uses)
    };
    assert_eq!(planted(&[("a", "b"), ("b", "a"), ("b", "c")]), ["a -> b -> a"]);
    assert_eq!(planted(&[("b", "c"), ("c", "a"), ("a", "b")]), ["a -> b -> c -> a"]);
    assert!(planted(&[("a", "b"), ("b", "c"), ("a", "c")]).is_empty());
}
