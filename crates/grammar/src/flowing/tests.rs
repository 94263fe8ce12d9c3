//! Streams give the same content, the same deviations at the same places and the same end, however they are cut.

use portcullis_lang::{AnomalyId, EventId, SourceId, Span};
use proptest::prelude::*;

use super::{Flowing, Piece};
use crate::model::{Newline, Source, Stream, StreamEvents};

const BARE_LF: AnomalyId = AnomalyId(0);
const BARE_CR: AnomalyId = AnomalyId(1);
const NUL: AnomalyId = AnomalyId(2);
const LOOKALIKE: AnomalyId = AnomalyId(3);
const LONG: AnomalyId = AnomalyId(4);
const NEWLINE: Newline =
    Newline { crlf: true, lf: true, bare_lf: Some(BARE_LF), bare_cr: Some(BARE_CR), nul: Some(NUL), lf_span: None };

#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    content: Vec<u8>,
    anomalies: Vec<(AnomalyId, i64)>,
    end: Option<usize>,
}

fn stream(source: Source, remove_leading: Option<u8>) -> Stream {
    let span = Span { source: SourceId(0), start: 0, end: 0 };
    let events = StreamEvents { start: EventId(0), chunk: EventId(1), end: EventId(2) };
    Stream { name: "content".into(), source, remove_leading, channel: None, events, span }
}

fn mail() -> Stream {
    let source = Source::Lines { text: (*b".").into(), lookalikes: Some(LOOKALIKE), long: Some((20, LONG)) };
    stream(source, Some(b'.'))
}

fn feed(stream: &Stream, pieces: &[&[u8]]) -> Seen {
    let mut flowing = Flowing::new(stream, &NEWLINE, 0);
    let mut seen = Seen::default();
    let mut base = 0;
    for piece in pieces {
        let (used, complete) = flowing.feed(stream, &NEWLINE, piece, &mut |out| match out {
            Piece::Content(data) => seen.content.extend_from_slice(data),
            Piece::Anomaly(anomaly, at) => seen.anomalies.push((anomaly, base as i64 + at)),
            Piece::Alone { .. } => {}
        });
        base += used;
        if complete {
            seen.end = Some(base);
            break;
        }
    }
    seen.anomalies.sort_by_key(|(anomaly, at)| (*at, *anomaly));
    seen
}

fn whole(text: &[u8]) -> Seen {
    feed(&mail(), &[text])
}

#[test]
fn a_mail_ends_at_crlf_dot_crlf_and_loses_its_stuffing() {
    let seen = whole(b"Subject: x\r\n\r\n..dot\r\n.hidden\r\nend\r\n.\r\nQUIT\r\n");
    assert_eq!(seen.content, b"Subject: x\r\n\r\n.dot\r\nhidden\r\nend\r\n");
    assert_eq!(seen.anomalies, []);
    assert_eq!(seen.end, Some(b"Subject: x\r\n\r\n..dot\r\n.hidden\r\nend\r\n.\r\n".len()));
}

#[test]
fn an_empty_mail_is_a_dot() {
    assert_eq!(whole(b".\r\n"), Seen { end: Some(3), ..Seen::default() });
}

/// The ends of data that real servers disagree about: text by RFC 5321, and reported.
#[test]
fn other_ends_are_text_and_are_reported() {
    let ends: [&[u8]; 16] = [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r.\n",
        b"\r\n.\rx",
        b"\n.\r",
        b"\r\n.\r\r\n",
        b"\r\r\n.\r\r\n",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
        b"\n\r.\r\n",
        b"\n.\n.\r\n",
        b"\r\n.\0\n",
        b"\r\0.\r\n",
    ];
    for end in ends {
        let mut text = b"text".to_vec();
        text.extend_from_slice(end);
        text.extend_from_slice(b"more\r\n.\r\n");
        let seen = whole(&text);
        assert_eq!(seen.end, Some(text.len()), "{}", text.escape_ascii());
        assert!(seen.anomalies.iter().any(|anomaly| anomaly.0 == LOOKALIKE), "{}", text.escape_ascii());
    }
}

#[test]
fn what_only_looks_a_little_like_the_end_is_not_reported() {
    for text in [&b"text\r\n. \r\nmore\r\n.\r\n"[..], b"text\r\n..\r\nmore\r\n.\r\n", b"a.\r\n.b\r\n.\r\n"] {
        assert_eq!(whole(text).anomalies, [], "{}", text.escape_ascii());
    }
}

#[test]
fn a_double_carriage_return_before_the_end_is_an_end() {
    let seen = whole(b"text\r\r\n.\r\n");
    assert_eq!(seen.end, Some(b"text\r\r\n.\r\n".len()));
    assert_eq!(seen.anomalies, [(BARE_CR, 4)]);
}

#[test]
fn long_lines_are_reported_where_they_become_too_long() {
    let seen = whole(b"short\r\n12345678901234567890\r\n123456789012345678901\r\n.\r\n");
    assert_eq!(seen.anomalies, [(LONG, 7 + 22 + 20)]);
}

#[test]
fn a_gap_does_not_begin_a_line() {
    let stream = mail();
    let mut flowing = Flowing::new(&stream, &NEWLINE, 0);
    let mut content = Vec::new();
    let mut out = |piece: Piece<'_>| {
        if let Piece::Content(data) = piece {
            content.extend_from_slice(data);
        }
    };
    flowing.feed(&stream, &NEWLINE, b"line\r\n", &mut out);
    assert_eq!(flowing.gap(10), (10, false));
    assert_eq!(flowing.feed(&stream, &NEWLINE, b".\r\nx\r\n.\r\n", &mut out), (9, true));
    assert_eq!(content, b"line\r\n.\r\nx\r\n");
}

fn mail_text() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => Just(b"\r\n".to_vec()), 1 => Just(b"\n".to_vec()), 1 => Just(b"\r".to_vec()), 3 => Just(b".".to_vec()),
        1 => Just(b"\0".to_vec()), 3 => Just(b"text".to_vec()), 1 => Just(vec![b'x'; 90]), 1 => Just(b"\r\n.\r\n".to_vec()),
    ];
    prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn cutting_changes_nothing(text in mail_text(), cuts in prop::collection::vec(0usize..400, 0..6)) {
        let expected = whole(&text);
        let single: Vec<&[u8]> = text.chunks(1).collect();
        prop_assert_eq!(&feed(&mail(), &single), &expected);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([text.len()]) {
            pieces.push(&text[from..cut]);
            from = cut;
        }
        prop_assert_eq!(&feed(&mail(), &pieces), &expected);
    }

    #[test]
    fn text_until_a_literal(text in prop::collection::vec(prop::sample::select(b"ab-".to_vec()), 0..40), cut in 0usize..40) {
        let stream = stream(Source::Literal((*b"ab-ab").into()), None);
        let found = text.windows(5).position(|window| window == b"ab-ab");
        let cut = cut.min(text.len());
        let singles: Vec<&[u8]> = text.chunks(1).collect();
        for pieces in [vec![&text[..]], vec![&text[..cut], &text[cut..]], singles] {
            let seen = feed(&stream, &pieces);
            prop_assert_eq!(seen.end, found.map(|at| at + 5));
            match found {
                Some(at) => prop_assert_eq!(&seen.content[..], &text[..at]),
                None => prop_assert!(text.starts_with(&seen.content) && seen.content.len() + 5 > text.len()),
            }
        }
    }
}
