//! docs/reference is what this binary writes: a page that is old, missing or no longer written is named.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Name and text of every file in `folder`.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).expect("the folder is there; `make reference` writes it");
    let file = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).expect("a page is readable text");
        (entry.file_name().into_string().expect("a page's name is text"), text)
    };
    entries.map(|entry| file(entry.expect("the folder can be listed"))).collect()
}

fn written() -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let status = Command::new(env!("CARGO_BIN_EXE_autarky")).arg("reference").arg(folder.path()).status();
    assert!(status.expect("the binary starts").success(), "`autarky reference` failed");
    files(folder.path())
}

#[test]
fn the_reference_is_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace lies above its binary");
    let (kept, fresh) = (files(&root.join("docs/reference")), written());
    let mut wrong = Vec::new();
    for name in fresh.keys().chain(kept.keys().filter(|name| !fresh.contains_key(*name))) {
        let (old, new) = (kept.get(name), fresh.get(name));
        if old == new {
            continue;
        }
        let lines = |text: Option<&String>| text.map_or(Vec::new(), |text| text.lines().map(str::to_owned).collect());
        let (old, new) = (lines(old), lines(new));
        let at = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
        let line = |list: &[String]| list.get(at).cloned().unwrap_or_else(|| "(nothing)".to_owned());
        wrong.push(format!(
            "docs/reference/{name}:{}\n  is:        {}\n  should be: {}",
            at + 1,
            line(&old),
            line(&new)
        ));
    }
    assert!(wrong.is_empty(), "the reference is old; run `make reference`\n{}", wrong.join("\n"));
}

#[test]
fn it_is_written_the_same_every_time() {
    assert_eq!(written(), written());
}

#[test]
fn links_lead_to_headings_and_files() {
    let pages = written();
    let anchors = |text: &str| -> Vec<String> {
        let headings = text.lines().filter(|line| line.starts_with('#'));
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ');
        headings
            .map(|line| line.trim_start_matches('#').trim().chars().filter(kept).collect::<String>())
            .map(|text| text.replace(' ', "-").to_lowercase())
            .collect()
    };
    for (name, text) in pages.iter().filter(|(name, _)| name.ends_with(".md")) {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let page = pages.get(if file.is_empty() { name.as_str() } else { file });
            let page = page.unwrap_or_else(|| panic!("{name} links to `{link}`, which is not written"));
            assert!(anchor.is_empty() || anchors(page).iter().any(|known| known == anchor), "{name} links to `{link}`");
        }
    }
}
