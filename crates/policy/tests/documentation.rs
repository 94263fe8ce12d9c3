//! The examples of the documentation: each is compiled, and raises what it says.

#![allow(clippy::expect_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use portcullis_lang::{Code, render_all};
use support::compile;

/// The fenced blocks of a page that begin with ```` ```policy ````: what stands behind the word, the line, and the text.
fn examples(page: &str) -> Vec<(String, usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, usize, String)> = None;
    for (number, line) in (1..).zip(page.lines()) {
        match &mut open {
            Some(_) if line.starts_with("```") => found.extend(open.take()),
            Some((_, _, text)) => *text += &format!("{line}\n"),
            None => {
                let info = line.strip_prefix("```policy");
                open = info.map(|info| (info.trim().to_owned(), number, String::new()));
            }
        }
    }
    found
}

fn documents() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// Checks all examples of a page; how many there are.
fn check(page: &Path) -> usize {
    let text = fs::read_to_string(page).expect("a page of the documentation");
    let examples = examples(&text);
    for (info, line, text) in &examples {
        let (sources, compiled) = compile(text);
        let diagnostics = match compiled {
            Ok(compiled) => compiled.warnings,
            Err(diagnostics) => diagnostics,
        };
        let printed = render_all(&diagnostics, &sources, false);
        let codes: Vec<Code> = diagnostics.sorted().iter().map(|diagnostic| diagnostic.code).collect();
        let place = format!("{}:{line}\n{printed}", page.display());
        match info.strip_prefix("error=") {
            Some(code) => assert_eq!(codes, [Code::parse(code).expect("a code")], "{place}"),
            None => assert_eq!((info.as_str(), codes.as_slice()), ("", &[][..]), "{place}"),
        }
    }
    examples.len()
}

#[test]
fn the_reference_of_the_language() {
    assert!(check(&documents().join("policy-language.md")) >= 10);
}

#[test]
fn the_pages_of_codes() {
    assert_eq!(check(&documents().join("codes/C17.md")), 3);
    assert_eq!(check(&documents().join("codes/S8.md")), 2);
    for entry in fs::read_dir(documents().join("codes")).expect("the pages of codes") {
        check(&entry.expect("an entry").path());
    }
}
