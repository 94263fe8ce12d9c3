//! Standard input as a capture, in a process of its own.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use portcullis_capture::{CaptureFile, CaptureSet};
use support::*;

const FILES: &str = "PORTCULLIS_TEST_FILES";

/// Reads the files that the tests below name, and prints what they hold.
#[test]
#[ignore = "started by the other tests"]
fn child() {
    let files = std::env::var(FILES).unwrap();
    let paths: Vec<&str> = files.split('\n').collect();
    let (packets, errors) = if paths == ["-"] {
        match CaptureFile::open("-") {
            Ok(mut file) => drain(&mut file),
            Err(error) => (Vec::new(), vec![error]),
        }
    } else {
        drain(&mut CaptureSet::open(&paths).unwrap())
    };
    let seconds: Vec<i64> = packets.iter().map(|packet| packet.nanoseconds / 1_000_000_000).collect();
    println!("packets {seconds:?} errors {errors:?}");
    for error in errors {
        println!("message {error}");
    }
}

fn run(files: &[&str], input: Stdio, bytes: &[u8]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(FILES, files.join("\n"))
        .stdin(input)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(bytes).unwrap();
    }
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

fn redirected(path: &Path) -> Stdio {
    std::fs::File::open(path).unwrap().into()
}

#[test]
fn a_pipe() {
    for bytes in [usual_pcap(&[5; 4]), gzip(&usual_pcap(&[5; 4])), zstd(&usual_pcapng(&[5; 4]))] {
        let output = run(&["-"], Stdio::piped(), &bytes);
        assert!(output.contains("packets [1, 2, 3, 4] errors []"), "{output}");
    }
}

#[test]
fn a_file_that_the_shell_opened() {
    let directory = Directory::new("redirected");
    let path = directory.file("a", &gzip(&usual_pcap(&[5; 4])));
    let output = run(&["-"], redirected(&path), b"");
    assert!(output.contains("packets [1, 2, 3, 4] errors []"), "{output}");
}

#[test]
fn together_with_files() {
    let directory = Directory::new("together");
    let path = directory.file("a", &usual_pcap(&[5; 4]));
    let other = directory.file("b", &usual_pcap(&[5; 2]));
    let name = other.to_str().unwrap();
    for files in [["-", name], [name, "-"]] {
        let output = run(&files, redirected(&path), b"");
        assert!(output.contains("packets [1, 1, 2, 2, 3, 4] errors []"), "{output}");
        let output = run(&files, Stdio::piped(), &usual_pcap(&[5; 4]));
        assert!(output.contains("packets [1, 1, 2, 2, 3, 4] errors []"), "{output}");
    }
}

#[test]
fn errors_call_it_by_its_name() {
    let output = run(&["-"], Stdio::piped(), b"");
    assert!(output.contains("message standard input is empty"), "{output}");
    let output = run(&["-"], Stdio::piped(), &usual_pcap(&[5; 4])[..100]);
    assert!(output.contains("packets [1, 2, 3]"), "{output}");
    assert!(output.contains("message standard input ends inside the header of a packet"), "{output}");
}
