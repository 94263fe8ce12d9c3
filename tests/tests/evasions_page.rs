//! The page of evasions: it has every row, and each test that it names exists.

use std::collections::HashMap;

use portcullis_tests::project;

/// The rows of the table.
const ROWS: usize = 36;

/// Changes and reasons of the normaliser, which the page names as `change` and `drop`.
const REASONS: &str = "crates/stream/src/normalise/reasons.rs";

#[test]
fn every_evasion_has_a_row_and_every_test_in_it_exists() {
    let page = read("docs/evasions.md");
    let mut files: HashMap<String, String> = HashMap::new();
    let mut rows = 0;
    let mut tests = 0;
    for cells in page.lines().filter_map(cells) {
        match &cells[..] {
            [letter, file] if letter.len() == 1 => {
                let path = file.split('`').nth(1).expect("a file in backquotes");
                files.insert(letter.clone(), read(path));
            }
            [id, evasion, linux, offline, inline, named] if id.starts_with('T') => {
                rows += 1;
                assert_eq!(*id, format!("T{rows}"), "the rows follow each other");
                for cell in [evasion, linux, offline, inline] {
                    assert!(!cell.is_empty(), "{id}: an empty cell");
                }
                let found: Vec<&str> = named.split_whitespace().collect();
                assert!(!found.is_empty(), "{id}: no test");
                for test in found {
                    let (letter, name) = test.split_once(':').unwrap_or_else(|| panic!("{id}: {test} has no letter"));
                    let text = files.get(letter).unwrap_or_else(|| panic!("{id}: {letter} is no file"));
                    let name = name.trim_matches('`');
                    assert!(has_test(text, name), "{id}: {test} does not exist");
                    tests += 1;
                }
            }
            _ => {}
        }
    }
    println!("{rows} rows name {tests} tests in {} files", files.len());
    assert_eq!(rows, ROWS);
}

#[test]
fn what_the_page_says_is_changed_or_dropped_has_these_names() {
    let (page, reasons) = (read("docs/evasions.md"), read(REASONS));
    let mut names = 0;
    for kind in ["change `", "drop `"] {
        for name in page.split(kind).skip(1).filter_map(|rest| rest.split('`').next()) {
            assert!(reasons.contains(&format!("=> \"{name}\"")), "{name} is in no list of {REASONS}");
            names += 1;
        }
    }
    assert!(names > 30, "only {names} names");
}

/// Whether a text has a test of this name: a function under `#[test]`.
fn has_test(text: &str, name: &str) -> bool {
    let Some((before, _)) = text.split_once(&format!("fn {name}(")) else { return false };
    // A property is a test too.
    before.rfind("#[test]").is_some_and(|at| !before[at..].contains("\n}\n"))
}

/// The cells of a row of a table.
fn cells(line: &str) -> Option<Vec<String>> {
    let row = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(row.split('|').map(|cell| cell.trim().to_owned()).collect())
}

fn read(path: &str) -> String {
    std::fs::read_to_string(project().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
