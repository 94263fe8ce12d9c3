//! Streams: the programs' and the oracle's come to the same, however the octets are cut.

use portcullis_lang::{AnomalyId, EventId};
use proptest::prelude::*;

use super::choices::Choices;
use super::models::SPAN;
use crate::flowing::{Flowing, Piece};
use crate::model::{Newline, Source, Stream, StreamEvents};
use crate::oracle::{Flowed, flow};

const BYTES: portcullis_lang::Formula = portcullis_lang::Formula::Number(7);

fn run(stream: &Stream, newline: &Newline, pieces: &[&[u8]]) -> Flowed {
    let mut flowing = Flowing::new(stream, newline, 7);
    let mut flowed = Flowed { complete: flowing.is_complete(), ..Flowed::default() };
    for piece in pieces {
        if flowed.complete {
            break;
        }
        let base = i64::try_from(flowed.used).expect("inputs are small");
        let (used, complete) = flowing.feed(stream, newline, piece, &mut |out| match out {
            Piece::Content(data) => flowed.content.extend_from_slice(data),
            Piece::Alone { .. } => {}
            Piece::Anomaly(anomaly, at) => {
                flowed.anomalies.push((anomaly, usize::try_from(base + at).expect("a place in the stream")));
            }
        });
        flowed.used += used;
        flowed.complete = complete;
    }
    flowed.anomalies.sort_unstable();
    flowed
}

fn make(choices: &mut Choices<'_>) -> (Stream, Newline) {
    let newline = match choices.below(3) {
        0 => Newline { crlf: true, lf: true, ..Newline::default() },
        1 => Newline {
            crlf: true,
            bare_lf: Some(AnomalyId(0)),
            bare_cr: Some(AnomalyId(1)),
            nul: Some(AnomalyId(2)),
            ..Newline::default()
        },
        _ => Newline { lf: true, ..Newline::default() },
    };
    let source = match choices.below(8) {
        0 => Source::Bytes(BYTES),
        1 => Source::ToEnd,
        2 => Source::Literal((*b".\r\n.").into()),
        3 => Source::Literal((*b"..x").into()),
        _ => Source::Lines {
            text: choices.of(&[&b"."[..], b".", b".", b"x."]).into(),
            lookalikes: choices.of(&[None, Some(AnomalyId(3))]),
            long: choices.of(&[None, Some((5, AnomalyId(4)))]),
        },
    };
    let remove_leading = if matches!(source, Source::Lines { .. }) { choices.of(&[Some(b'.'), None]) } else { None };
    let events = StreamEvents { start: EventId(0), chunk: EventId(1), end: EventId(2) };
    (Stream { name: "stream".into(), source, remove_leading, channel: None, events, span: SPAN }, newline)
}

/// Fails unless streams up to these lines, with lookalikes and lines over 5 octets reported, agree about a text.
pub(super) fn agree_about(ends: &[&[u8]], newline: Newline, text: &[u8]) {
    for end in ends {
        let source =
            Source::Lines { text: (*end).into(), lookalikes: Some(AnomalyId(3)), long: Some((5, AnomalyId(4))) };
        let events = StreamEvents { start: EventId(0), chunk: EventId(1), end: EventId(2) };
        let stream = Stream { name: "s".into(), source, remove_leading: Some(b'.'), channel: None, events, span: SPAN };
        let mut expected = flow(&stream, &newline, 7, text);
        expected.anomalies.sort_unstable();
        let singles: Vec<&[u8]> = text.chunks(1).collect();
        for cut in 0..text.len() {
            let (one, two) = text.split_at(cut);
            assert_eq!(run(&stream, &newline, &[one, two]), expected, "\"{}\" cut at {cut}", text.escape_ascii());
        }
        assert_eq!(run(&stream, &newline, &singles), expected, "\"{}\" octet by octet", text.escape_ascii());
    }
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => Just(&b"\r\n"[..]), 1 => Just(&b"\n"[..]), 1 => Just(&b"\r"[..]), 3 => Just(&b"."[..]),
        1 => Just(&b"\0"[..]), 2 => Just(&b"xxx"[..]), 1 => Just(&b"xxxxxxxxxxx"[..]), 1 => Just(&b"x"[..]),
        1 => Just(&b"\r\n.\r\n"[..]),
    ];
    prop::collection::vec(part, 0..20).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: super::records::cases() * 2, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn streams_and_oracle_agree(made in prop::collection::vec(any::<u8>(), 6), text in text(), cut in any::<u16>()) {
        let (stream, newline) = make(&mut Choices::new(&made));
        let mut expected = flow(&stream, &newline, 7, &text);
        expected.anomalies.sort_unstable();
        let (one, two) = text.split_at(usize::from(cut) % (text.len() + 1));
        let singles: Vec<&[u8]> = text.chunks(1).collect();
        for pieces in [&[&text[..]][..], &[one, two], &singles] {
            prop_assert_eq!(&run(&stream, &newline, pieces), &expected, "\"{}\" by {:?} {:?}", text.escape_ascii(), stream, newline);
        }
    }
}
