//! The list of what the crate offers, held against `golden/snapshots/public_api.txt`: whatever is public is a promise.
//!
//! `FLATGAUGE_ACCEPT_API=1 cargo test --test public_api` writes the list anew.

#[path = "source_tree/files.rs"]
mod files;

use files::rust_files;
use quote::ToTokens;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use syn::{Attribute, Fields, ImplItem, Item, TraitItem, Type, UseTree, Visibility};

const SNAPSHOT: &str = "golden/snapshots/public_api.txt";
const ACCEPT: &str = "FLATGAUGE_ACCEPT_API";

type At = Vec<String>;

/// What a module has: items by name, and what it passes on.
#[derive(Default)]
struct Contents {
    items: Vec<Entry>,
    /// Public modules.
    modules: Vec<String>,
    /// Public names from elsewhere: the name here, and the path it has.
    passed_on: Vec<(String, At)>,
    /// Modules all of whose names are passed on.
    globs: Vec<At>,
}

/// A public item of a module with the lines that it adds to the list.
struct Entry {
    name: String,
    /// `kind` before the path, and what follows it.
    lines: Vec<(String, String)>,
}

/// Methods and fields, found with the types that they belong to.
type Members = BTreeMap<(At, String), BTreeSet<(String, String)>>;

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn written(tokens: impl ToTokens) -> String {
    tokens.to_token_stream().to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Hidden from the documentation, or compiled for tests only: no promise.
fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text: String = attribute.to_token_stream().to_string().split_whitespace().collect();
        text == "#[doc(hidden)]" || text == "#[cfg(test)]" || text == "#[cfg(doctest)]"
    })
}

fn is_non_exhaustive(attributes: &[Attribute]) -> &'static str {
    let marked = attributes.iter().any(|attribute| attribute.path().is_ident("non_exhaustive"));
    if marked { " (non-exhaustive)" } else { "" }
}

struct Api {
    modules: BTreeMap<At, Contents>,
    members: Members,
}

impl Api {
    fn of(source: &Path) -> Self {
        let mut api = Self { modules: BTreeMap::new(), members: BTreeMap::new() };
        for file in rust_files(source).into_iter().filter(|file| file != "main.rs") {
            let mut at: At = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            if matches!(at.last().map(String::as_str), Some("mod" | "lib")) {
                at.pop();
            }
            let text = std::fs::read_to_string(source.join(&file)).unwrap();
            let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
            api.read(&at, &parsed.items);
        }
        api
    }

    fn read(&mut self, at: &At, items: &[Item]) {
        let mut contents = Contents::default();
        for item in items {
            let mut add = |name: &syn::Ident, lines: Vec<(&str, String)>| {
                let lines = lines.into_iter().map(|(kind, rest)| (kind.to_owned(), rest)).collect();
                contents.items.push(Entry { name: name.to_string(), lines });
            };
            match item {
                Item::Const(one) if is_public(&one.vis) && !is_hidden(&one.attrs) => {
                    add(&one.ident, vec![("const", format!(": {}", written(&one.ty)))]);
                }
                Item::Static(one) if is_public(&one.vis) && !is_hidden(&one.attrs) => {
                    add(&one.ident, vec![("static", format!(": {}", written(&one.ty)))]);
                }
                Item::Fn(one) if is_public(&one.vis) && !is_hidden(&one.attrs) => {
                    add(&one.sig.ident, vec![("fn", signature(&one.sig))]);
                }
                Item::Type(one) if is_public(&one.vis) && !is_hidden(&one.attrs) => {
                    add(&one.ident, vec![("type", format!(" = {}", written(&one.ty)))]);
                }
                Item::Struct(one) if is_public(&one.vis) && !is_hidden(&one.attrs) => {
                    let mut lines = vec![("struct", is_non_exhaustive(&one.attrs).to_owned())];
                    lines.extend(fields(&one.fields, true).into_iter().map(|field| ("field", field)));
                    add(&one.ident, lines);
                }
                Item::Enum(one) if is_public(&one.vis) && !is_hidden(&one.attrs) => {
                    let mut lines = vec![("enum", is_non_exhaustive(&one.attrs).to_owned())];
                    for variant in &one.variants {
                        let marked = is_non_exhaustive(&variant.attrs);
                        lines.push(("variant", format!("::{}{marked}", variant.ident)));
                        let inner = fields(&variant.fields, false);
                        lines.extend(inner.into_iter().map(|field| ("field", format!("::{}{field}", variant.ident))));
                    }
                    add(&one.ident, lines);
                }
                Item::Trait(one) if is_public(&one.vis) && !is_hidden(&one.attrs) => {
                    let mut lines = vec![("trait", String::new())];
                    for inner in &one.items {
                        match inner {
                            TraitItem::Fn(method) if !is_hidden(&method.attrs) => {
                                let provided = if method.default.is_some() { " (provided)" } else { "" };
                                lines.push((
                                    "fn",
                                    format!("::{}{}{provided}", method.sig.ident, signature(&method.sig)),
                                ));
                            }
                            TraitItem::Type(one) => lines.push(("type", format!("::{}", one.ident))),
                            TraitItem::Const(one) => lines.push(("const", format!("::{}", one.ident))),
                            _ => {}
                        }
                    }
                    add(&one.ident, lines);
                }
                Item::Impl(one) if one.trait_.is_none() => {
                    let Type::Path(own) = &*one.self_ty else { continue };
                    let own = own.path.segments.last().unwrap().ident.to_string();
                    let members = self.members.entry((at[..at.len().min(1)].to_vec(), own)).or_default();
                    for inner in &one.items {
                        match inner {
                            ImplItem::Fn(method) if is_public(&method.vis) && !is_hidden(&method.attrs) => {
                                members
                                    .insert(("fn".into(), format!("::{}{}", method.sig.ident, signature(&method.sig))));
                            }
                            ImplItem::Const(one) if is_public(&one.vis) && !is_hidden(&one.attrs) => {
                                members.insert(("const".into(), format!("::{}: {}", one.ident, written(&one.ty))));
                            }
                            _ => {}
                        }
                    }
                }
                Item::Mod(one) if !is_hidden(&one.attrs) => {
                    if is_public(&one.vis) {
                        contents.modules.push(one.ident.to_string());
                    }
                    if let Some((_, items)) = &one.content {
                        let inner = [&at[..], &[one.ident.to_string()]].concat();
                        self.read(&inner, items);
                    }
                }
                Item::Use(one) if is_public(&one.vis) && !is_hidden(&one.attrs) => {
                    passed_on(&one.tree, &mut Vec::new(), at, &mut contents);
                }
                _ => {}
            }
        }
        self.modules.insert(at.clone(), contents);
    }

    /// Every public item that can be reached from the crate's root, once, under the first path to it.
    fn list(&self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        let mut seen = BTreeSet::new();
        self.walk(&Vec::new(), &Vec::new(), &mut seen, &mut lines);
        lines
    }

    fn walk(&self, at: &At, shown: &At, seen: &mut BTreeSet<(At, String)>, lines: &mut BTreeSet<String>) {
        let Some(contents) = self.modules.get(at) else { return };
        for entry in &contents.items {
            self.show(at, &entry.name, shown, &entry.name, seen, lines);
        }
        for (name, path) in &contents.passed_on {
            let (item, home) = path.split_last().expect("a path has a last segment");
            self.follow(&home.to_vec(), item, shown, name, seen, lines, 0);
        }
        for glob in &contents.globs {
            self.walk(glob, shown, seen, lines);
        }
        for module in &contents.modules {
            let (inner, shown) =
                ([&at[..], std::slice::from_ref(module)].concat(), [&shown[..], std::slice::from_ref(module)].concat());
            lines.insert(format!("mod {}", shown.join("::")));
            self.walk(&inner, &shown, seen, lines);
        }
    }

    /// Goes from one `pub use` to the next, to the item itself.
    #[allow(clippy::too_many_arguments)]
    fn follow(
        &self,
        home: &At,
        item: &str,
        shown: &At,
        name: &str,
        seen: &mut BTreeSet<(At, String)>,
        lines: &mut BTreeSet<String>,
        hops: usize,
    ) {
        let module = [&home[..], &[item.to_owned()]].concat();
        if self.modules.contains_key(&module) && !self.has(home, item) {
            let shown = [&shown[..], &[name.to_owned()]].concat();
            lines.insert(format!("mod {}", shown.join("::")));
            return self.walk(&module, &shown, seen, lines);
        }
        self.show(home, item, shown, name, seen, lines);
        if let Some(contents) = self.modules.get(home).filter(|_| hops < 10) {
            for (_, path) in contents.passed_on.iter().filter(|(passed, _)| passed == item) {
                let (item, home) = path.split_last().expect("a path has a last segment");
                self.follow(&home.to_vec(), item, shown, name, seen, lines, hops + 1);
            }
        }
    }

    fn has(&self, home: &At, item: &str) -> bool {
        self.modules.get(home).is_some_and(|contents| {
            contents.items.iter().any(|entry| entry.name == item)
                || contents.passed_on.iter().any(|(name, _)| name == item)
        })
    }

    fn show(
        &self,
        home: &At,
        item: &str,
        shown: &At,
        name: &str,
        seen: &mut BTreeSet<(At, String)>,
        lines: &mut BTreeSet<String>,
    ) {
        let Some(contents) = self.modules.get(home) else { return };
        for entry in contents.items.iter().filter(|entry| entry.name == item) {
            if !seen.insert((home.clone(), item.to_owned())) {
                continue;
            }
            let path = [&shown[..], &[name.to_owned()]].concat().join("::");
            lines.extend(entry.lines.iter().map(|(kind, rest)| format!("{kind} {path}{rest}")));
            if let Some(members) = self.members.get(&(home[..home.len().min(1)].to_vec(), item.to_owned())) {
                lines.extend(members.iter().map(|(kind, rest)| format!("{kind} {path}{rest}")));
            }
        }
    }
}

/// Arguments and result.
fn signature(signature: &syn::Signature) -> String {
    let generics = written(&signature.generics.params);
    let generics = if generics.is_empty() { String::new() } else { format!("<{generics}>") };
    let inputs = written(&signature.inputs);
    match &signature.output {
        syn::ReturnType::Default => format!("{generics}({inputs})"),
        output => format!("{generics}({inputs}) {}", written(output)),
    }
}

fn fields(fields: &Fields, of_struct: bool) -> Vec<String> {
    fields
        .iter()
        .enumerate()
        .filter(|(_, field)| !of_struct || is_public(&field.vis))
        .filter(|(_, field)| !is_hidden(&field.attrs))
        .map(|(index, field)| {
            let name = field.ident.as_ref().map_or(index.to_string(), ToString::to_string);
            format!("::{name}: {}", written(&field.ty))
        })
        .collect()
}

/// The leaves of a public `use`, from the crate's root.
fn passed_on(tree: &UseTree, before: &mut At, at: &At, contents: &mut Contents) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            passed_on(&path.tree, before, at, contents);
            before.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| passed_on(tree, before, at, contents)),
        UseTree::Name(name) => {
            let path = from_root(&[&before[..], &[name.ident.to_string()]].concat(), at);
            contents.passed_on.push((name.ident.to_string(), path));
        }
        UseTree::Rename(name) => {
            let path = from_root(&[&before[..], &[name.ident.to_string()]].concat(), at);
            contents.passed_on.push((name.rename.to_string(), path));
        }
        UseTree::Glob(_) => contents.globs.push(from_root(before, at)),
    }
}

fn from_root(path: &[String], at: &At) -> At {
    let mut base = if path.first().is_some_and(|first| first == "crate") { Vec::new() } else { at.clone() };
    for segment in path {
        match segment.as_str() {
            "crate" | "self" => {}
            "super" => {
                base.pop();
            }
            other => base.push(other.to_owned()),
        }
    }
    base
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn what_is_public_is_as_agreed() {
    let source = std::env::var_os("FLATGAUGE_API_OF").map_or(root().join("src"), PathBuf::from);
    let list = Api::of(&source).list();
    assert!(list.len() > 300, "only {} items were seen: the reader of this test is broken", list.len());
    let text = format!("{} public items\n\n{}\n", list.len(), Vec::from_iter(list.iter().cloned()).join("\n"));
    let path = root().join(SNAPSHOT);
    if std::env::var_os(ACCEPT).is_some() {
        return std::fs::write(path, text).unwrap();
    }
    let agreed = std::fs::read_to_string(&path).unwrap_or_default();
    let agreed: BTreeSet<String> = agreed.lines().skip(2).map(str::to_owned).collect();
    let lost = agreed.difference(&list).map(|line| format!("- {line}\n"));
    let gained = list.difference(&agreed).map(|line| format!("+ {line}\n"));
    let changes: String = lost.chain(gained).collect();
    assert!(
        changes.is_empty(),
        "the public API is not that of {SNAPSHOT}:\n{changes}If this is meant, say so in CHANGELOG.md and accept it with \
         {ACCEPT}=1 cargo test --test public_api"
    );
}

#[test]
fn what_cannot_be_reached_is_not_listed() {
    let folder = std::env::temp_dir().join(format!("flatgauge-public-api-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("room")).unwrap();
    let files = [
        ("lib.rs", "pub mod room; mod attic;"),
        ("attic.rs", "pub struct Unseen;"),
        (
            "room/mod.rs",
            "mod inner; pub use inner::{Seen, deep as renamed}; #[doc(hidden)] pub fn hidden() {} pub(crate) fn own() {}",
        ),
        (
            "room/inner.rs",
            "#[non_exhaustive] pub struct Seen { pub field: u8, own: u8 } impl Seen { pub fn method(&self) -> u8 { 0 } fn own() {} } \
             pub struct Left; pub fn deep(x: u8) {}",
        ),
    ];
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let list = Api::of(&folder).list();
    std::fs::remove_dir_all(&folder).unwrap();
    let expected = [
        "field room::Seen::field: u8",
        "fn room::Seen::method(& self) -> u8",
        "fn room::renamed(x : u8)",
        "mod room",
        "struct room::Seen (non-exhaustive)",
    ];
    assert_eq!(Vec::from_iter(list), expected);
}
