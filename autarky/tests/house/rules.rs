//! The rules of the house as one function over the table of rooms and the source files: no disk, so that the rules
//! themselves can be tried on made-up houses.

use crate::lex::{Token, close, shipped};
use std::collections::{BTreeMap, BTreeSet};

/// Lines a file may have, test modules not counted.
pub(crate) const FILE_LINES: usize = 600;
/// Lines of code a function may have, blank lines and comments not counted.
pub(crate) const FUNCTION_LINES: usize = 80;

/// One source file: its path from the workspace's root, e.g. `crates/canon/src/wire/mod.rs`, and its text.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Rooms, and what each may use. A grant is a room (`canon::event`) or a room with everything below (`canon::*`).
type Table = BTreeMap<String, Vec<String>>;

/// Everything in `sources` that breaks a rule of `map`, as `path:line: what`, in the order of the files.
pub(crate) fn check(map: &str, sources: &[Source]) -> Vec<String> {
    let (table, mut broken) = read_table(map);
    let houses: Vec<_> = sources.iter().filter_map(|source| Some((source, place(&source.path)?))).collect();
    let crates: BTreeSet<&str> = houses.iter().map(|(_, module)| module[0].as_str()).collect();
    let reexports = reexports(&houses, &table);
    let pure = pure_crates(map);
    let mut unlisted = BTreeSet::new();
    for (source, module) in &houses {
        let tokens = shipped(&source.text);
        let mut tell = |line: usize, what: String| broken.push(format!("{}:{line}: {what}", source.path));
        if !source.text.starts_with("//!") {
            tell(1, "has no `//!` header; say what the room is for, what it may touch, what never happens here".into());
        }
        let lines = source.text.lines().count() - test_lines(&source.text, &tokens);
        if lines > FILE_LINES {
            tell(FILE_LINES + 1, format!("has {lines} lines, {FILE_LINES} are allowed; split it by what its parts do"));
        }
        for (line, name, length) in functions(&tokens) {
            if length > FUNCTION_LINES {
                tell(line, format!("`{name}` has {length} lines, {FUNCTION_LINES} are allowed; name its phases"));
            }
        }
        if pure.contains(&module[0]) {
            for (line, what) in impurities(&tokens) {
                tell(line, format!("`{}` is pure and may not touch `{what}`; take it as an argument", module[0]));
            }
        }
        let own = room_of(&table, module);
        let listed = module[..module.len().min(2)].join("::");
        if !table.contains_key(&listed) {
            if unlisted.insert(listed.clone()) {
                tell(1, format!("room `{listed}` is not in the table of ARCHITECTURE.md; add its row"));
            }
            continue;
        }
        for (line, path) in imports(&tokens, module, &crates) {
            let target = resolve(&table, &reexports, &path);
            if !allowed(&table, &own, &target) {
                tell(line, format!("`{own}` may not use `{target}` (`{}`); see ARCHITECTURE.md", path.join("::")));
            }
        }
    }
    for room in table.keys() {
        let is_here = |module: &[String]| (1..=module.len()).any(|n| module[..n].join("::") == *room);
        if !houses.iter().any(|(_, module)| is_here(module)) {
            broken.push(format!("ARCHITECTURE.md: room `{room}` does not exist; remove its row"));
        }
    }
    broken
}

/// Reads the rows under the header `| room |`; the room is the first cell, its grants are the code spans of the last.
fn read_table(map: &str) -> (Table, Vec<String>) {
    let (mut table, mut broken, mut inside) = (Table::new(), Vec::new(), false);
    for (line, row) in map.lines().enumerate() {
        let cells: Vec<&str> = row.trim().trim_matches('|').split('|').map(str::trim).collect();
        if !row.starts_with('|') {
            inside = false;
        } else if cells[0] == "room" {
            inside = true;
        } else if inside && !cells[0].starts_with("--") {
            let spans = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
            let grants = spans(cells.last().unwrap_or(&""));
            for room in spans(cells[0]) {
                if table.insert(room.clone(), grants.clone()).is_some() {
                    broken.push(format!("ARCHITECTURE.md:{}: room `{room}` has two rows", line + 1));
                }
            }
        }
    }
    for (room, grants) in &table {
        for grant in grants {
            let named = grant.strip_suffix("::*").unwrap_or(grant);
            if grant != "*" && !table.contains_key(named) {
                broken.push(format!("ARCHITECTURE.md: room `{room}` may use `{grant}`, which the table does not list"));
            }
        }
    }
    (table, broken)
}

/// The crates named in the line that begins with `Pure crates:`.
fn pure_crates(map: &str) -> BTreeSet<String> {
    let line = map.lines().find_map(|line| line.strip_prefix("Pure crates:")).unwrap_or_default();
    line.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Where code reaches for files, sockets, processes, threads, the environment, a clock or a runtime.
fn impurities(tokens: &[Token]) -> Vec<(usize, String)> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let root = text(at + 1) == "::" && (at == 0 || text(at - 1) != "::");
        if root && matches!(text(at), "std" | "tokio") {
            let mut paths = Vec::new();
            tree(tokens, at, &mut Vec::new(), &mut paths);
            let touches = |path: &[String]| {
                let module = path.get(1).map_or("", String::as_str);
                path[0] == "tokio" || matches!(module, "fs" | "net" | "env" | "process" | "thread")
            };
            let bad = paths.into_iter().filter(|(_, path)| touches(path));
            found.extend(bad.map(|(line, path)| (line, path.join("::"))));
        }
        if matches!(text(at), "Instant" | "SystemTime") && text(at + 1) == "::" && text(at + 2) == "now" {
            found.push((tokens[at].line, format!("{}::now", text(at))));
        }
    }
    found
}

/// The module of a source file, its crate first; `None` for tests, benches and what is no Rust.
fn place(path: &str) -> Option<Vec<String>> {
    let (house, inside) = path.strip_suffix(".rs")?.split_once("/src/")?;
    let mut module = vec![house.rsplit('/').next()?.to_owned()];
    module.extend(inside.split('/').map(str::to_owned));
    if module.iter().any(|part| part == "tests") {
        return None;
    }
    if matches!(module.last()?.as_str(), "lib" | "main" | "mod") {
        module.pop();
    } else if inside.starts_with("bin/") {
        module.truncate(1); // a further binary stands at its crate's root
    }
    Some(module)
}

/// The listed room that `module` lies in: the longest listed beginning of its path.
fn room_of(table: &Table, module: &[String]) -> String {
    let room = (1..=module.len()).rev().map(|n| module[..n].join("::")).find(|room| table.contains_key(room));
    room.unwrap_or_else(|| module[0].clone())
}

/// What a crate's root passes on: `pub use request::Request` makes `canon::Request` a name of `canon::request`.
fn reexports(houses: &[(&Source, Vec<String>)], table: &Table) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for (source, module) in houses.iter().filter(|(source, _)| source.path.ends_with("/src/lib.rs")) {
        let tokens = shipped(&source.text);
        for at in 0..tokens.len() {
            if tokens[at].text == "use" {
                let mut found = Vec::new();
                tree(&tokens, at + 1, &mut Vec::new(), &mut found);
                for (_, mut path) in found {
                    path.retain(|part| part != "crate" && part != "self");
                    let name = path.last().cloned().unwrap_or_default();
                    path.insert(0, module[0].clone());
                    names.insert(format!("{}::{name}", module[0]), room_of(table, &path));
                }
            }
        }
    }
    names
}

/// The room that a full path leads to.
fn resolve(table: &Table, reexports: &BTreeMap<String, String>, path: &[String]) -> String {
    let room = room_of(table, path);
    let passed_on = path.get(1).and_then(|name| reexports.get(&format!("{}::{name}", path[0])));
    if room == path[0] { passed_on.cloned().unwrap_or(room) } else { room }
}

/// Whether `own` may use `target`: itself, what lies below it, its crate's own root items, and what its row grants.
fn allowed(table: &Table, own: &str, target: &str) -> bool {
    let below = |room: &str| target.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    let grants = table.get(own).map_or(&[][..], Vec::as_slice);
    below(own)
        || own.split("::").next() == Some(target)
        || grants.iter().any(|grant| match grant.strip_suffix('*') {
            Some(tree) => tree.is_empty() || below(tree.trim_end_matches("::")),
            None => grant == target,
        })
}

/// Every path to a room, with its line: in `use` trees and in the middle of code, `crate`, `super` and `self` resolved.
fn imports(tokens: &[Token], module: &[String], crates: &BTreeSet<&str>) -> Vec<(usize, Vec<String>)> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let children: BTreeSet<&str> = (0..tokens.len()).filter(|&at| text(at) == "mod").map(|at| text(at + 1)).collect();
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let root = text(at);
        let begins = text(at + 1) == "::" && (at == 0 || !matches!(text(at - 1), "::" | "."));
        let known = matches!(root, "crate" | "super") || (crates.contains(root) && !children.contains(root));
        if begins && known {
            let mut paths = Vec::new();
            tree(tokens, at, &mut Vec::new(), &mut paths);
            found.extend(paths.into_iter().map(|(line, path)| (line, absolute(&path, module))));
        }
    }
    found
}

/// A path as written, from its crate on.
fn absolute(path: &[String], module: &[String]) -> Vec<String> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    let (base, rest) = match path[0].as_str() {
        "crate" => (&module[..1], &path[1..]),
        "super" => (&module[..module.len().saturating_sub(ups).max(1)], &path[ups..]),
        _ => (&path[..1], &path[1..]),
    };
    base.iter().chain(rest).cloned().collect()
}

/// The paths of the tree that begins at `at`, each with its line; returns where the tree ends.
fn tree(tokens: &[Token], mut at: usize, prefix: &mut Vec<String>, found: &mut Vec<(usize, Vec<String>)>) -> usize {
    let depth = prefix.len();
    while let Some(token) = tokens.get(at) {
        let more = tokens.get(at + 1).is_some_and(|next| next.text == "::");
        if token.text == "{" {
            let end = close(tokens, at);
            at += 1;
            while at < end {
                at = tree(tokens, at, prefix, found);
                while at < end && tokens[at].text != "," {
                    at += 1; // `as name`
                }
                at += 1;
            }
            prefix.truncate(depth);
            return end + 1;
        }
        if !token.text.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            break; // `*`, or the `<` of generic arguments
        }
        prefix.push(token.text.clone());
        at += if more { 2 } else { 1 };
        if !more {
            break;
        }
    }
    if let Some(token) = tokens.get(at.saturating_sub(1)) {
        found.push((token.line, prefix.clone()));
    }
    prefix.truncate(depth);
    at
}

/// Line, name and length of every function with a body.
fn functions(tokens: &[Token]) -> Vec<(usize, String, usize)> {
    let mut found = Vec::new();
    for at in 0..tokens.len().saturating_sub(1) {
        let named = tokens[at + 1].text.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if tokens[at].text != "fn" || !named {
            continue; // `fn(…)` is a type
        }
        let mut open = at + 2;
        while tokens.get(open).is_some_and(|token| token.text != "{" && token.text != ";") {
            open = if matches!(tokens[open].text.as_str(), "(" | "[") { close(tokens, open) } else { open } + 1;
        }
        if tokens.get(open).is_some_and(|token| token.text == "{") {
            let body = &tokens[open + 1..close(tokens, open)];
            let lines: BTreeSet<usize> = body.iter().flat_map(|token| token.line..=token.last_line).collect();
            found.push((tokens[at].line, tokens[at + 1].text.clone(), lines.len()));
        }
    }
    found
}

/// How many lines at the end of a file belong to its test module.
fn test_lines(text: &str, shipped: &[Token]) -> usize {
    let last = shipped.last().map_or(0, |token| token.last_line);
    let tail = text.lines().skip(last);
    if tail.clone().any(|line| line.trim() == "#[cfg(test)]") { tail.count() } else { 0 }
}
