//! Which file of `src/` uses which: paths are read from tokens, so that comments and strings say nothing and macros say
//! what they say, and are followed through re-exports to the file that has the item.

pub mod files;

use files::rust_files;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module: a file, or `mod name { ... }` within one.
#[derive(Debug, Default)]
pub struct Module {
    /// The file, relative to `src/`.
    pub file: String,
    /// Where it is, from the crate's root.
    pub at: Vec<String>,
    /// Paths from the crate's root that its code names outside of tests.
    pub paths: Vec<Vec<String>>,
    /// Names that it takes or passes on, with where they come from.
    aliases: BTreeMap<String, Vec<String>>,
}

impl Module {
    /// The folder of `src/` that the module is in; none for `lib.rs` and `main.rs`.
    pub fn room(&self) -> Option<&str> {
        self.at.first().map(String::as_str)
    }
}

/// The modules of a crate by their paths.
#[derive(Debug)]
pub struct SourceTree(BTreeMap<Vec<String>, Module>);

impl SourceTree {
    /// Reads `src/`.
    pub fn of_crate() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let files = rust_files(&source).into_iter().filter(|name| name != "main.rs");
        Self::of_files(files.map(|name| (name.clone(), std::fs::read_to_string(source.join(name)).unwrap())))
    }

    /// Files by their names relative to `src/`.
    pub fn of_files(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut parsed = Vec::new();
        for (file, text) in files {
            let mut at: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            if matches!(at.last().map(String::as_str), Some("mod" | "lib")) {
                at.pop();
            }
            let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{file}: {error}"));
            parsed.push((file, at, tokens));
        }
        let mut modules = BTreeMap::new();
        for (file, at, _) in &parsed {
            modules.insert(at.clone(), Module { file: file.clone(), at: at.clone(), ..Module::default() });
        }
        let mut tree = Self(modules);
        for (file, at, tokens) in parsed {
            let mut reader = Reader { tree: &mut tree, file: &file };
            reader.read(&at, &tokens.into_iter().collect::<Vec<_>>());
        }
        tree
    }

    /// All modules, those of tests left out.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.0.values()
    }

    /// The file that has the item at a path from the crate's root; `None` if it is another crate's.
    fn home(&self, path: &[String], hops: usize) -> Option<&str> {
        let known = (0..=path.len()).rev().find(|&length| self.0.contains_key(&path[..length]))?;
        let module = &self.0[&path[..known]];
        match path.get(known).and_then(|name| module.aliases.get(name)) {
            Some(target) if hops < 10 && target[..] != *path => {
                let rest = path[known + 1..].iter().cloned();
                self.home(&target.iter().cloned().chain(rest).collect::<Vec<_>>(), hops + 1)
            }
            _ => Some(&module.file),
        }
    }

    /// Which files of its own room each file uses.
    pub fn uses_within_rooms(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for module in self.modules().filter(|module| module.room().is_some()) {
            for path in &module.paths {
                let Some(home) = self.home(path, 0) else { continue };
                let room = |file: &str| file.split('/').next().map(str::to_owned);
                if home != module.file && room(home) == room(&module.file) {
                    uses.entry(module.file.clone()).or_default().insert(home.to_owned());
                }
            }
        }
        uses
    }
}

/// Circles among files: the names along each, from a file back to itself.
pub fn circles(uses: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    fn walk(uses: &BTreeMap<String, BTreeSet<String>>, path: &mut Vec<String>, found: &mut Vec<String>) {
        for next in uses.get(path.last().expect("a path begins somewhere")).into_iter().flatten() {
            if *next == path[0] {
                found.push(format!("{} -> {next}", path.join(" -> ")));
            } else if !path.contains(next) && *next > path[0] {
                // Each circle once: from its first file in the alphabet.
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

struct Reader<'t> {
    tree: &'t mut SourceTree,
    file: &'t str,
}

fn ident(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

fn is_punct(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

impl Reader<'_> {
    fn read(&mut self, at: &[String], tokens: &[TokenTree]) {
        let mut passed_on: Vec<(String, Vec<String>)> = Vec::new();
        self.walk(at, tokens, &mut passed_on);
        // What a file only passes on it does not use.
        let names = names_outside_uses(tokens);
        let module = self.module(at);
        for (name, path) in passed_on {
            if names.contains(&name) {
                module.paths.push(path);
            }
        }
    }

    fn module(&mut self, at: &[String]) -> &mut Module {
        let file = self.file.to_owned();
        self.tree.0.entry(at.to_vec()).or_insert_with(|| Module { file, at: at.to_vec(), ..Module::default() })
    }

    fn walk(&mut self, at: &[String], tokens: &[TokenTree], passed_on: &mut Vec<(String, Vec<String>)>) {
        let mut index = 0;
        while index < tokens.len() {
            // What is compiled for tests only has no place in the order.
            if let Some(skipped) = test_only(&tokens[index..]) {
                index += skipped;
                continue;
            }
            match &tokens[index] {
                // `pub(in crate::room)` uses nothing.
                TokenTree::Group(_) if is_public(&tokens[..index]) => index += 1,
                TokenTree::Group(group) => {
                    self.walk(at, &group.stream().into_iter().collect::<Vec<_>>(), passed_on);
                    index += 1;
                }
                TokenTree::Ident(word) if word == "mod" => {
                    match (ident(tokens.get(index + 1)), tokens.get(index + 2)) {
                        (Some(name), Some(TokenTree::Group(body))) if body.delimiter() == Delimiter::Brace => {
                            let inner = [at, &[name]].concat();
                            self.read(&inner, &body.stream().into_iter().collect::<Vec<_>>());
                            index += 3;
                        }
                        _ => index += 1,
                    }
                }
                TokenTree::Ident(word) if word == "use" && !is_punct(tokens.get(index + 1), '<') => {
                    let public = is_public(&tokens[..index]);
                    let end = (index..tokens.len()).find(|&end| is_punct(tokens.get(end), ';')).unwrap_or(tokens.len());
                    let mut leaves = Vec::new();
                    tree_of_use(&tokens[index + 1..end], &[], &mut leaves);
                    for (name, path) in leaves {
                        let Some(path) = self.path_from_root(at, &path) else { continue };
                        if public {
                            passed_on.push((name.clone(), path.clone()));
                        } else {
                            self.module(at).paths.push(path.clone());
                        }
                        self.module(at).aliases.insert(name, path);
                    }
                    index = end;
                }
                TokenTree::Ident(_) => {
                    let mut path = Vec::new();
                    let begun = index > 0
                        && (is_punct(tokens.get(index - 1), ':') && index > 1 && is_punct(tokens.get(index - 2), ':')
                            || is_punct(tokens.get(index - 1), '.'));
                    while let Some(name) = ident(tokens.get(index)) {
                        path.push(name);
                        index += 1;
                        if !is_path_separator(tokens, index) {
                            break;
                        }
                        index += 2;
                    }
                    if path.len() > 1
                        && !begun
                        && let Some(path) = self.path_from_root(at, &path)
                    {
                        self.module(at).paths.push(path);
                    }
                }
                _ => index += 1,
            }
        }
    }

    /// A path in a module as one from the crate's root; `None` if it names no module of the crate.
    fn path_from_root(&self, at: &[String], path: &[String]) -> Option<Vec<String>> {
        let mut base = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => at.to_vec(),
            child => {
                let inner = [at, &[child.to_owned()]].concat();
                return self.tree.0.contains_key(&inner).then(|| [at, path].concat());
            }
        };
        let mut rest = path;
        while let Some((first, others)) =
            rest.split_first().filter(|(first, _)| ["crate", "self", "super"].contains(&&***first))
        {
            if first == "super" {
                base.pop();
            }
            rest = others;
        }
        let path = [&base[..], rest].concat();
        (!path.is_empty()).then_some(path)
    }
}

/// How many tokens `#[cfg(test)] item` takes, if there is one.
fn test_only(tokens: &[TokenTree]) -> Option<usize> {
    let Some(TokenTree::Group(attribute)) = tokens.get(1).filter(|_| is_punct(tokens.first(), '#')) else {
        return None;
    };
    let written: String = attribute.stream().to_string().split_whitespace().collect();
    if written != "cfg(test)" {
        return None;
    }
    let ends = |token: &TokenTree| {
        is_punct(Some(token), ';') || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
    };
    // `use a::{b, c};` has braces before its end.
    let is_use = tokens[2..].iter().take(5).any(|token| matches!(token, TokenTree::Ident(word) if word == "use"));
    let end = tokens[2..].iter().position(|token| if is_use { is_punct(Some(token), ';') } else { ends(token) })?;
    Some(end + 3)
}

/// Whether `pub` or `pub(...)` stands at the end of these tokens.
fn is_public(before: &[TokenTree]) -> bool {
    match before {
        [.., TokenTree::Ident(word)] => word == "pub",
        [.., TokenTree::Ident(word), TokenTree::Group(_)] => word == "pub",
        _ => false,
    }
}

/// The leaves of `a::{b, c as d, e::*}`: the name each has here, and its path.
fn tree_of_use(tokens: &[TokenTree], prefix: &[String], leaves: &mut Vec<(String, Vec<String>)>) {
    let mut path = prefix.to_vec();
    let mut index = 0;
    let mut named = None;
    while index < tokens.len() {
        match &tokens[index] {
            TokenTree::Ident(word) if word == "as" => {
                named = ident(tokens.get(index + 1));
                index += 1;
            }
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Punct(punct) if punct.as_char() == '*' => named = Some("*".to_owned()),
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                for part in inner.split(|token| is_punct(Some(token), ',')).filter(|part| !part.is_empty()) {
                    tree_of_use(part, &path, leaves);
                }
                return;
            }
            _ => {}
        }
        index += 1;
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    if let Some(last) = path.last().cloned() {
        leaves.push((named.unwrap_or(last), path));
    }
}

/// Every name in the code that is not in a `use`.
fn names_outside_uses(tokens: &[TokenTree]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut index = 0;
    while index < tokens.len() {
        if let Some(skipped) = test_only(&tokens[index..]) {
            index += skipped;
            continue;
        }
        match &tokens[index] {
            TokenTree::Group(group) => {
                names.append(&mut names_outside_uses(&group.stream().into_iter().collect::<Vec<_>>()))
            }
            // Its own name is not a use of what it has.
            TokenTree::Ident(word) if word == "mod" => index += 1,
            TokenTree::Ident(word) if word == "use" => {
                index = (index..tokens.len()).find(|&end| is_punct(tokens.get(end), ';')).unwrap_or(tokens.len());
            }
            TokenTree::Ident(word) => {
                names.insert(word.to_string());
            }
            _ => {}
        }
        index += 1;
    }
    names
}
