//! The program as its users run it.
//!
//! | module | holds |
//! |---|---|
//! | `messages` | what is said of wrong arguments, captures and files, in snapshots |
//! | `reading` | `read`: records, the screen, exit statuses, sources |
//! | `languages` | `check`, `fmt`, `graph`, `test`, `generate` |
//! | `explaining` | `explain` |
//! | `limits` | bounds and timeouts: `--limit` and its like, `limits`, `check --cost` |

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod explaining;
mod languages;
mod limits;
mod messages;
mod reading;

use std::path::Path;

use portcullis_tests::{Run, portcullis_in, project};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with some files in it, gone when the test is over.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    folder
}

/// One of our own captures.
fn capture(name: &str) -> Vec<u8> {
    std::fs::read(project().join("pcaps").join(name)).unwrap()
}

/// Runs the program in a folder.
fn run_in(folder: &Path, arguments: &[&str]) -> Run {
    portcullis_in(folder, arguments, b"")
}

/// The records that were written to standard output; each line has to be one JSON object.
fn records(run: &Run) -> Vec<Value> {
    let parse = |line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    run.stdout.lines().map(parse).collect()
}

/// Those of one event type.
fn of_type<'a>(records: &'a [Value], event_type: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["event_type"] == event_type).collect()
}
