//! Files, standard output, and readers that go away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what a test cannot set up ends it")]

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use portcullis_report::{FileSink, Sink, SinkError, WriterSink, open_sink};

/// A directory of its own for each test, which is removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("portcullis-report-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn lines_are_appended_whole() {
    let directory = Directory::new("append");
    let path = directory.0.join("eve.json");
    fs::write(&path, "before\n").unwrap();
    {
        let mut sink = open_sink(&path).unwrap();
        sink.line(b"one\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\n", "it waits for more");
        sink.line(b"two\n").unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "before\none\ntwo\n");
}

#[test]
fn many_lines_are_written_without_being_asked_for() {
    let directory = Directory::new("many");
    let path = directory.0.join("eve.json");
    let mut sink = FileSink::open(&path).unwrap();
    let line = [[b'x'; 99].as_slice(), b"\n"].concat();
    for _ in 0..2_000 {
        sink.line(&line).unwrap();
    }
    let written = fs::read(&path).unwrap();
    assert!(written.len() >= 100_000);
    assert_eq!(written.len() % 100, 0, "only whole lines");
    sink.flush().unwrap();
    assert_eq!(fs::read(&path).unwrap().len(), 200_000);
    assert_eq!(sink.lost(), 0);
}

#[test]
fn a_file_that_was_renamed_is_written_no_longer_after_reopening() {
    let directory = Directory::new("rotate");
    let (path, old) = (directory.0.join("eve.json"), directory.0.join("eve.json.1"));
    let mut sink = FileSink::open(&path).unwrap();
    sink.line(b"one\n").unwrap();
    fs::rename(&path, &old).unwrap();
    sink.reopen().unwrap();
    sink.line(b"two\n").unwrap();
    sink.flush().unwrap();
    assert_eq!(fs::read_to_string(&old).unwrap(), "one\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
}

#[test]
fn a_file_that_was_truncated_has_no_hole() {
    let directory = Directory::new("truncate");
    let path = directory.0.join("eve.json");
    let mut sink = FileSink::open(&path).unwrap();
    sink.line(b"one\n").unwrap();
    sink.flush().unwrap();
    fs::File::create(&path).unwrap();
    sink.line(b"two\n").unwrap();
    sink.flush().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
}

#[test]
fn a_place_that_cannot_be_opened_says_so() {
    let directory = Directory::new("open");
    let error = open_sink(&directory.0.join("missing/eve.json")).map(|_| ()).unwrap_err();
    assert!(!error.is_closed());
    let message = error.to_string();
    assert!(message.contains("missing/eve.json"), "{message}");
    assert!(message.contains("- for standard output"), "{message}");
    assert!(open_sink(&directory.0).is_err(), "a directory");
}

/// The end of a pipe whose reader has gone.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_has_gone_is_a_clean_end() {
    let mut sink = WriterSink::to("standard output", Gone);
    sink.line(b"one\n").unwrap();
    let error = sink.flush().unwrap_err();
    assert!(error.is_closed());
    assert!(matches!(&error, SinkError::Closed { place } if place == "standard output"));
}
