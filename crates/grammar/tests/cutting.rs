//! What the fuzzer found about cutting: the same octets in other pieces gave other events.

#![allow(clippy::panic, reason = "a test without its grammar is over")]

use std::sync::Arc;

use portcullis_grammar::{Dialogue, Event, Program, Scratch, load};
use portcullis_lang::{Direction, Sources, render_all};

fn program(text: &str) -> Program {
    let mut sources = Sources::new();
    match load(&mut sources, "cutting.grammar", text) {
        Ok((protocol, _)) => Program::compile(Arc::new(protocol)),
        Err(diagnostics) => panic!("{}", render_all(&diagnostics, &sources, false)),
    }
}

/// The events of octets that the client sends in pieces of a length.
fn events(program: &Program, octets: &[u8], length: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut sink = |event: &Event<'_>| {
        let record = event.record.map(|record| record.octets.escape_ascii().to_string()).unwrap_or_default();
        lines.push(format!("{} {}+{} {record} {}", event.event_name(), event.offset, event.size, event.reason));
    };
    let mut scratch = Scratch::default();
    let mut dialogue = Dialogue::new(program, false, 0);
    for piece in octets.chunks(length) {
        dialogue.octets(program, &mut scratch, Direction::Up, piece, 0, &mut sink);
    }
    dialogue.close(program, &mut scratch, &mut sink);
    lines
}

fn any_cut_is_the_same(program: &Program, octets: &[u8]) -> Vec<String> {
    let whole = events(program, octets, octets.len());
    for length in 1..octets.len() {
        assert_eq!(whole, events(program, octets, length), "{} in pieces of {length}", octets.escape_ascii());
    }
    whole
}

fn lines(newline: &str) -> Program {
    program(&format!(
        "protocol p over tcp port 1
         newline {newline}
         line word max 8 {{ text: rest }}
         machine {{ start talk  state talk {{ up word  down word  on word -> talk  on timeout 5 min -> finish }} }}"
    ))
}

#[test]
fn half_a_newline_at_the_bound_of_a_line_is_no_content() {
    let program = lines("CRLF, and LF as anomaly bare_lf, and CR as anomaly bare_cr");
    for content in 5..12 {
        let octets = format!("{}\r\nnext\r\n", "x".repeat(content));
        let events = any_cut_is_the_same(&program, octets.as_bytes());
        assert_eq!(events.iter().any(|event| event.starts_with("overrun")), content + 2 > 8, "{events:?}");
        assert!(!events.iter().any(|event| event.starts_with("bare_cr")), "{events:?}");
        assert!(events.iter().any(|event| event.contains(" next\\r\\n")), "{events:?}");
    }
}

#[test]
fn the_rest_of_a_long_line_ends_where_lines_end() {
    let events = any_cut_is_the_same(&lines("CRLF"), b"xxxxxxxxxxxxxxx\nmore\r\nnext\r\n");
    assert!(events.iter().any(|event| event.contains(" next\\r\\n")), "{events:?}");
    assert!(!events.iter().any(|event| event.contains(" more\\r\\n")), "{events:?}");
}

#[test]
fn speaking_out_of_turn_is_told_once_and_without_a_size() {
    let program = program(
        "protocol p over tcp port 1
         line word max 8 { text: rest }
         machine { start talk  state talk { down word  on word -> talk  on timeout 5 min -> finish } }",
    );
    let events = any_cut_is_the_same(&program, b"who asked you");
    assert_eq!(events.iter().filter(|event| event.starts_with("missing_grammar 0+0")).count(), 1, "{events:?}");
}

#[test]
fn a_record_that_does_not_parse_has_no_size() {
    let program = program(
        "protocol p over tcp port 1
         record head max 8 { \"H\"  size: u16 }
         machine { start talk  state talk { up head  down head  on head -> talk  on timeout 5 min -> finish } }",
    );
    let events = any_cut_is_the_same(&program, b"H12Garbage");
    assert!(events.iter().any(|event| event.starts_with("parse_error 3+0")), "{events:?}");
}

#[test]
fn a_channel_that_was_given_up_takes_no_more_of_its_stream() {
    let program = program(
        "protocol p over tcp port 1
         line stop max 8 { text: rest }
         stream body { lines until \".\" | letter }
         flow { letter: channel }
         machine { start talk
             state talk { up body  down stop
                 on body { close letter } -> talk
                 on stop { abort letter } -> over
                 on timeout 5 min -> finish }
             state over { up stop  down stop  on stop -> over  on timeout 5 min -> finish } }",
    );
    let mut lines = Vec::new();
    let mut sink = |event: &Event<'_>| lines.push(format!("{} {}", event.event_name(), event.complete));
    let mut scratch = Scratch::default();
    let mut dialogue = Dialogue::new(&program, false, 0);
    dialogue.octets(&program, &mut scratch, Direction::Up, b"one\r\n", 0, &mut sink);
    dialogue.octets(&program, &mut scratch, Direction::Down, b"421\r\n", 0, &mut sink);
    dialogue.octets(&program, &mut scratch, Direction::Up, b"two\r\n.\r\n", 0, &mut sink);
    let letters: Vec<&String> = lines.iter().filter(|line| line.starts_with("letter")).collect();
    assert_eq!(letters, ["letter.start false", "letter.chunk false", "letter false"]);
}
