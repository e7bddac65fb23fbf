//! The rules of the house that a machine can see: a room uses only rooms on lower floors, and the files of a room have an
//! order.

mod source_tree;

use source_tree::{SourceTree, circles};
use std::collections::{BTreeMap, BTreeSet};

/// Rooms by floor; rooms of one floor do not use each other.
const FLOORS: [(&str, u8); 19] = [
    ("id", 0),
    ("description", 0),
    ("numeric", 1),
    ("io", 1),
    ("processes", 1),
    ("data", 2),
    ("model", 2),
    ("kernel", 3),
    ("prior", 3),
    ("rescale", 3),
    ("train", 3),
    ("flatness", 4),
    ("function", 4),
    ("golden", 4),
    ("gate", 5),
    ("study", 5),
    ("demonstration", 6),
    ("report", 7),
    ("cli", 8),
];

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// What is wrong with a room that uses another, if anything.
fn violation(room: &str, used: &str) -> Option<String> {
    match (floor(room), floor(used)) {
        (None, _) => Some(format!("src/{room} is on no floor")),
        (_, None) => Some(format!("{room} names crate::{used}, which is no room")),
        (Some(own), Some(other)) if room == used || other < own => None,
        (Some(own), Some(other)) => Some(format!("{room} (floor {own}) uses {used} (floor {other})")),
    }
}

#[test]
fn no_room_imports_upward() {
    let tree = SourceTree::of_crate();
    let mut seen = 0;
    let mut violations = BTreeSet::new();
    for module in tree.modules() {
        let Some(room) = module.room() else { continue };
        for path in &module.paths {
            seen += 1;
            // A path through `mod.rs` counts as the room that it names, wherever the item came from.
            if let Some(violation) = violation(room, &path[0]) {
                violations.insert(format!("{}: {violation}", module.file));
            }
        }
    }
    assert!(seen > 1000, "only {seen} paths were seen: the reader of this test is broken");
    assert!(violations.is_empty(), "{}", Vec::from_iter(violations).join("\n"));
}

#[test]
fn a_climbing_import_is_caught() {
    assert!(violation("numeric", "model").is_some());
    assert!(violation("kernel", "prior").is_some(), "same floor");
    assert!(violation("gate", "demonstration").is_some(), "the referee trains nobody");
    assert!(violation("prior", "attic").is_some(), "unknown room");
    assert!(violation("prior", "numeric").is_none());
    assert!(violation("gate", "gate").is_none());
}

#[test]
fn the_files_of_every_room_have_an_order() {
    let uses = SourceTree::of_crate().uses_within_rooms();
    let arrows = uses.values().map(BTreeSet::len).sum::<usize>();
    assert!(arrows > 300, "only {arrows} arrows were seen: the reader of this test is broken");
    let circles = circles(&uses);
    assert!(circles.is_empty(), "{} circles of files:\n{}", circles.len(), circles.join("\n"));
}

#[test]
fn a_circle_of_files_is_caught() {
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

/// Paths by every spelling end at the file that has the item.
#[test]
fn arrows_are_seen_through_every_spelling() {
    let uses = |file: &str| {
        let files = [
            ("lib.rs", "pub mod room;"),
            (
                "room/mod.rs",
                "mod other; mod own; pub use other::{Item, deep as renamed}; pub trait Face {} fn list() -> own::Own {}",
            ),
            ("room/other.rs", "pub struct Item; pub fn deep() {} "),
            ("room/own.rs", file),
        ];
        let tree = SourceTree::of_files(files.map(|(name, text)| (name.to_owned(), text.to_owned())));
        tree.uses_within_rooms().remove("room/own.rs").unwrap_or_default().into_iter().collect::<Vec<_>>()
    };
    for spelling in [
        "use crate::room::Item;",
        "use crate::{room::{Item}};",
        "use super::Item;",
        "use super::other::*;",
        "use super::renamed;",
        "fn f() -> super::Item { panic!() }",
        "fn f() { println!(\"{}\", crate::room::other::deep()) }",
        "mod inner { use super::super::Item; }",
    ] {
        assert_eq!(uses(spelling), ["room/other.rs"], "{spelling}");
    }
    assert_eq!(uses("use super::Face;"), ["room/mod.rs"]);
    assert_eq!(uses("use super::{Face, other::Item};"), ["room/mod.rs", "room/other.rs"]);
    for none in [
        "use std::fmt; // crate::room::Item",
        "/// [`crate::room::Item`]\nfn f() {}",
        "#[cfg(test)] mod tests { use super::super::Item; }",
    ] {
        assert_eq!(uses(none), Vec::<String>::new(), "{none}");
    }
    let both = [
        ("lib.rs", "pub mod room;"),
        ("room/mod.rs", "mod own; pub trait Face {} fn list() -> own::Own {}"),
        ("room/own.rs", "use super::Face;"),
    ];
    let tree = SourceTree::of_files(both.map(|(name, text)| (name.to_owned(), text.to_owned())));
    assert_eq!(circles(&tree.uses_within_rooms()), ["room/mod.rs -> room/own.rs -> room/mod.rs"]);
}
