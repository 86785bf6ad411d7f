//! The house keeps its own rules: the table of rooms in ARCHITECTURE.md is run over every source file, and the rules
//! themselves are tried on made-up houses that break one each.

#[path = "house/lex.rs"]
mod lex;
#[path = "house/rules.rs"]
mod rules;

use rules::{FILE_LINES, FUNCTION_LINES, Source, check};
use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file below `folder`, as a source with its path from `root`.
fn gather(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            gather(root, &path, sources);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).expect("a source file is readable text");
            let path = path.strip_prefix(root).expect("it lies below the root").display().to_string();
            sources.push(Source { path, text });
        }
    }
}

#[test]
fn the_house_is_in_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace lies above its binary");
    let map = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("the map lies at the root");
    let mut sources = Vec::new();
    for folder in ["crates", "autarky"] {
        gather(root, &root.join(folder), &mut sources);
    }
    assert!(sources.len() > 20, "found only {} source files below {}", sources.len(), root.display());
    let broken = check(&map, &sources);
    assert!(broken.is_empty(), "{} rules broken:\n{}", broken.len(), broken.join("\n"));
}

// The rules, tried.

const MAP: &str = "\
# Map
Pure crates: `canon`.

| room | lives there | may use |
|---|---|---|
| `canon` | the root | `canon::*` |
| `canon::request` | what is asked | |
| `canon::event` | what is answered | `canon::request` |
| `canon::wire` | one API each | `canon::request`, `canon::event` |
| `canon::wire::chat`, `canon::wire::talk` | two of them | `canon::wire`, `canon::event` |
| `gateway` | who carries it | `canon::*` |

| room elsewhere | not part of the table |
|---|---|
";

/// A house in order, with `extra` added or put in the place of the file of that path.
fn house(extra: &[(&str, &str)]) -> Vec<String> {
    let mut files = vec![
        ("crates/canon/src/lib.rs", "//! H\npub mod request;\npub use request::Ask;\npub use event::{Say, Word as W};"),
        ("crates/canon/src/request.rs", "//! H\npub struct Ask;"),
        ("crates/canon/src/event.rs", "//! H\nuse crate::request::Ask;\nuse crate::Extras;"),
        ("crates/canon/src/wire/mod.rs", "//! H\nmod chat;\npub use chat::Chat;\nuse crate::wire::talk::Talk;"),
        ("crates/canon/src/wire/chat/mod.rs", "//! H\nuse super::Wire;\nuse super::super::event::Say;"),
        ("crates/canon/src/wire/talk.rs", "//! H\n"),
        ("crates/gateway/src/lib.rs", "//! H\nuse canon::{Ask, wire::{Wire, chat::Chat}};"),
        ("crates/gateway/tests/it/main.rs", "use testkit::x; // tests are no rooms"),
    ];
    files.retain(|(path, _)| extra.iter().all(|(other, _)| other != path));
    files.extend_from_slice(extra);
    let source = |(path, text): (&str, &str)| Source { path: path.to_owned(), text: text.to_owned() };
    check(MAP, &files.into_iter().map(source).collect::<Vec<_>>())
}

/// Asserts that `extra` breaks exactly one rule, told at `place` and with `word` in it.
fn breaks(extra: &[(&str, &str)], place: &str, word: &str) {
    let broken = house(extra);
    assert_eq!(broken.len(), 1, "{broken:#?}");
    assert!(broken[0].starts_with(place) && broken[0].contains(word), "{broken:#?}");
}

#[test]
fn a_house_in_order_breaks_nothing() {
    assert_eq!(house(&[]), [""; 0]);
}

#[test]
fn a_forbidden_import_is_named_however_it_is_written() {
    let path = "crates/canon/src/request.rs";
    for import in [
        "use crate::event::Say;",
        "use crate::{event::Say};",
        "use crate::{\n    event::{Say as S, *},\n};",
        "pub(crate) use super::event;",
        "use crate::Say;",
        "fn f() -> Vec<crate::event::Say> { Vec::new() }",
        "fn f() { let x = crate::event::Say::new::<u8>(); }",
    ] {
        let text = format!("//! H\n\n{import}\n");
        let broken = house(&[(path, &text)]);
        assert!(!broken.is_empty(), "{import} passed");
        for line in broken {
            assert!(line.starts_with("crates/canon/src/request.rs:"), "{line}");
            assert!(line.contains("`canon::request` may not use `canon::event`"), "{line}");
        }
    }
    breaks(&[(path, "//! H\n\nuse crate::event::Say;")], "crates/canon/src/request.rs:3:", "canon::event::Say");
    breaks(&[(path, "//! H\nuse gateway::serve;")], "crates/canon/src/request.rs:2:", "`gateway`");
    let sibling = "//! H\nuse crate::wire::talk::Talk;";
    breaks(&[("crates/canon/src/wire/chat/mod.rs", sibling)], "crates/canon/src/wire/chat/mod.rs:2:", "wire::talk`");
}

#[test]
fn a_pure_crate_that_touches_the_world_is_named() {
    let path = "crates/canon/src/event.rs";
    breaks(&[(path, "//! H\n\nuse std::{fmt, fs::File};")], "crates/canon/src/event.rs:3:", "`std::fs::File`");
    breaks(&[(path, "//! H\nfn f() { std::thread::spawn(g); }")], "crates/canon/src/event.rs:2:", "std::thread");
    breaks(&[(path, "//! H\nuse tokio::sync::mpsc;")], "crates/canon/src/event.rs:2:", "tokio::sync::mpsc");
    breaks(&[(path, "//! H\nfn f() { Instant::now(); }")], "crates/canon/src/event.rs:2:", "Instant::now");
    assert_eq!(house(&[("crates/gateway/src/lib.rs", "//! H\nuse std::fs;\nuse tokio::net;")]), [""; 0]);
}

#[test]
fn comments_strings_and_tests_import_nothing() {
    let text = "//! H see [`crate::event`]\n// use crate::event::Say;\n/* crate::event /* nested */ */\n\
        const A: &str = \"crate::event::Say \\\" crate::event\";\nconst B: &str = r#\"use \"crate::event;\"#;\n\
        fn f<'a>(x: &'a str) -> char { '\"' }\n#[cfg(test)]\nmod tests {\n    use crate::event::Say;\n}\n\
        #[cfg(test)]\nuse crate::event::Say;\n#[cfg(test)]\nmod more_tests;\n";
    assert_eq!(house(&[("crates/canon/src/request.rs", text)]), [""; 0]);
}

#[test]
fn an_overlong_file_is_named_and_its_test_module_is_not_counted() {
    let lines = |n: usize| format!("//! H\n{}", "const A: u8 = 1;\n".repeat(n - 1));
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    const A: u8 = 1;\n".repeat(500));
    let path = "crates/canon/src/event.rs";
    assert_eq!(house(&[(path, &(lines(FILE_LINES) + &tests))]), [""; 0]);
    breaks(&[(path, &(lines(FILE_LINES + 1) + &tests))], "crates/canon/src/event.rs:601:", "has 601 lines");
}

#[test]
fn an_overlong_function_is_named() {
    let function = |n: usize| {
        let body = "        // why\n\n        go();\n".repeat(n);
        format!("//! H\nimpl X {{\n    fn long(a: [u8; 2]) -> fn(u8) -> u8 {{\n{body}    }}\n}}\n")
    };
    let path = "crates/canon/src/event.rs";
    assert_eq!(house(&[(path, &function(FUNCTION_LINES))]), [""; 0]);
    breaks(&[(path, &function(FUNCTION_LINES + 1))], "crates/canon/src/event.rs:3:", "`long` has 81 lines");
}

#[test]
fn a_missing_header_is_named() {
    breaks(&[("crates/canon/src/event.rs", "use crate::request::Ask;\n")], "crates/canon/src/event.rs:1:", "header");
}

#[test]
fn an_unlisted_room_and_a_room_that_is_gone_are_named() {
    let new = [("crates/canon/src/new/mod.rs", "//! H"), ("crates/canon/src/new/more.rs", "//! H")];
    breaks(&new, "crates/canon/src/new/mod.rs:1:", "room `canon::new`");
    breaks(&[("crates/fresh/src/lib.rs", "//! H")], "crates/fresh/src/lib.rs:1:", "room `fresh`");
    let map = format!("{MAP}\n| room | x | may use |\n|---|---|---|\n| `canon::gone` | | `canon::never` |\n");
    let files = [Source { path: "crates/canon/src/lib.rs".into(), text: "//! H".into() }];
    let broken = check(&map, &files).join("\n");
    assert!(broken.contains("room `canon::gone` does not exist"), "{broken}");
    assert!(broken.contains("may use `canon::never`, which the table does not list"), "{broken}");
}
