//! What these tests have found, by name, with the smallest input.

use super::models::{SPAN, field, protocol, record, rule};
use super::records::{agree, all_cuts};
use super::streams::agree_about;
use crate::model::{Delimiter, End, Item, Many, Newline, RuleId, RuleKind, Shape};

fn until(delimiter: &[u8], or_end: bool, quote: Option<u8>, max: u32) -> Shape {
    let delimiter = Delimiter::Text(delimiter.into());
    Shape::Until { delimiter, or_end, quote, escape: None, consume: true, max }
}

fn agrees(items: Vec<Item>, octets: &[u8]) {
    let made =
        protocol(vec![rule("top", RuleKind::Record, 8, items)], Newline { crlf: true, lf: true, ..Newline::default() });
    agree(&made, octets, &all_cuts(octets.len(), &[]));
}

/// A delimiter of several octets that begins in the last octet which the text may have was refused if it was cut there.
#[test]
fn a_delimiter_may_begin_where_the_text_has_its_most_octets() {
    agrees(vec![field(0, until(b"ab", false, None, 3))], b"xxxab");
}

/// A quote that nothing closes has no meaning; a backslash behind it hid the delimiter all the same, so that `<"0\\>` went
/// on behind its end.
#[test]
fn a_backslash_behind_a_quote_without_an_end_hides_nothing() {
    agrees(vec![field(0, until(b":", false, Some(b'"'), 8))], b"\"0\\:");
    agrees(vec![field(0, until(b":", true, Some(b'"'), 8)), field(1, Shape::Rest)], b"\"0\\:x\\");
}

/// `raw` reached as far as octets had come, so that its length depended on how they were cut.
#[test]
fn raw_in_a_record_of_unknown_end_reaches_to_the_place_at_hand() {
    let length = portcullis_lang::Formula::Length(Box::new(record(crate::model::RAW_SLOT)));
    let number = || Shape::Number { octets: 1, little: false, signed: false };
    agrees(vec![field(0, number()), Item::Let { slot: 1, value: length, span: SPAN }, field(2, number())], b"abc");
}

/// A rule with `max depth 1` could be within itself once as the record itself, and never as a part of one.
#[test]
fn a_depth_counts_levels_of_a_rule_within_itself_wherever_it_stands() {
    for top in 0..2 {
        let literal = super::models::literal(b"(", false);
        let end = End::UntilLiteral(super::models::literal(b")", false));
        let element = RuleId(top);
        let many = || Item::Many(Many { slot: 0, name: "many".into(), element, end: end.clone(), max: 9, span: SPAN });
        let mut nested = rule("nested", RuleKind::Record, 1, vec![Item::Literal(literal), many()]);
        nested.depth = 1;
        let around = rule("around", RuleKind::Record, 1, vec![many()]);
        let made = protocol(if top == 0 { vec![nested] } else { vec![around, nested] }, Newline::default());
        for octets in [&b"((()))"[..], b"(())", b"((())))", b"(()))", b"(((())))", b"()"] {
            agree(&made, octets, &all_cuts(octets.len(), &[]));
        }
    }
}

const LF: Newline = Newline { crlf: false, lf: true, bare_lf: None, lf_span: None, bare_cr: None, nul: None };
const CRLF: Newline = Newline { crlf: true, lf: true, bare_lf: None, lf_span: None, bare_cr: None, nul: None };

/// Where lines end with LF alone, the end of a mail was reported as what only looks like it, and `CR LF . CR LF` was not.
#[test]
fn other_ends_are_those_that_the_newline_of_the_grammar_does_not_make() {
    for text in [&b"a\n.\n"[..], b".\n", b".\r\n", b"\r.\n.\n", b"\n.\r.\n"] {
        agree_about(&[b"."], LF, text);
    }
}

/// Whether the first octet over the bound of a line was reported depended on whether more octets came with it, a bare
/// LF was not counted there, and a CR counted as half a newline where LF alone ends lines.
#[test]
fn a_long_line_is_reported_at_the_first_octet_over_its_bound() {
    for text in [&b"\n\r\n\r\n\0\r\n\n\n\nxxx"[..], b"xxx.\n\n\n", b"xxxxx\r\n", b"xxxxxx\r\n", b"xxxxx\r", b"xxxxx\rx"]
    {
        agree_about(&[b"."], CRLF, text);
    }
    agree_about(&[b"."], LF, b"\r\rxxx\r\n.\r\n");
}
