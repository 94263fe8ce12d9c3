//! The formatter changes nothing but blanks, and comes to an end.

use portcullis_lang::{SourceId, Sources, lex, render_all};
use proptest::prelude::*;

use super::super::{format, parse};
use super::samples::{SAMPLES, good};

const SOURCE: SourceId = SourceId(0);

fn formatted(name: &str, text: &str) -> String {
    format(SOURCE, text).unwrap_or_else(|diagnostics| {
        let mut sources = Sources::new();
        sources.add(name, text);
        panic!("{}", render_all(&diagnostics, &sources, false))
    })
}

/// Formats a text that has to be right, and checks what formatting promises.
fn check(name: &str, text: &str) -> String {
    let once = formatted(name, text);
    let again = formatted(name, &once);
    assert_eq!(once, again, "{name}: formatting twice gives something else");
    assert!(good(name, text) == good(name, &once), "{name}: formatting changed what it says:\n{once}");
    assert!(once.lines().all(|line| line.trim_end() == line), "{name}: blanks at the end of a line");
    once
}

#[test]
fn samples_in_canonical_layout() {
    for (name, text) in SAMPLES {
        let once = check(name, text);
        // The shipped ones change with the protocols.
        if name.starts_with("sketch") {
            insta::assert_snapshot!(name.replace(['/', '.'], "_"), once);
        }
    }
}

#[test]
fn a_text_with_errors_is_not_touched() {
    assert!(format(SOURCE, "record {").is_err());
}

/// Texts that say the same with other blanks, line breaks and comments: from the tokens of a sample.
fn respaced(text: &str, choices: &[u8]) -> String {
    let mut at = 0;
    let mut printed = String::new();
    let mut choices = choices.iter().copied().cycle();
    loop {
        let token = lex(SOURCE, text, at);
        if token.span.is_empty() {
            return printed;
        }
        let piece = token.span.of(text);
        // `[` begins sets of bytes, which are no tokens of their own to `lex`: what is on its line stays as it is.
        let between = text.get(at as usize..token.span.start as usize).unwrap_or("");
        let line_start = text[..token.span.start as usize].rfind('\n').map_or(0, |line| line + 1);
        let line = text[line_start..].lines().next().unwrap_or("");
        if line.contains('[') || between.contains('#') {
            printed.push_str(between);
        } else {
            match choices.next().unwrap_or(0) % 16 {
                0 => printed.push('\n'),
                1 => printed.push_str("\n\n\n\n  "),
                2 => printed.push_str(" # a note\n"),
                3 => printed.push_str("\n\t# a note of its own\n\n# two\n"),
                4 | 5 => printed.push_str("      "),
                _ if between.is_empty() => {}
                _ => printed.push_str(if between.contains('\n') { "\n" } else { " " }),
            }
        }
        printed.push_str(piece);
        at = token.span.end;
    }
}

/// Samples with a few tokens removed, doubled or swapped.
fn mutated(text: &str, edits: &[(u16, u8)]) -> String {
    let mut pieces: Vec<String> = Vec::new();
    let mut at = 0;
    loop {
        let token = lex(SOURCE, text, at);
        if token.span.is_empty() {
            break;
        }
        pieces.push(text[at as usize..token.span.end as usize].to_owned());
        at = token.span.end;
    }
    for &(place, kind) in edits {
        if pieces.len() < 2 {
            break;
        }
        let place = usize::from(place) * (pieces.len() - 1) / usize::from(u16::MAX);
        match kind % 5 {
            0 => drop(pieces.remove(place)),
            1 => pieces.insert(place, pieces[place].clone()),
            2 => {
                let other = (place + 1).min(pieces.len() - 1);
                pieces.swap(place, other);
            }
            3 => {
                let other = usize::from(kind) * 31 % pieces.len();
                pieces.swap(place, other);
            }
            _ => pieces.insert(
                place,
                ["{", "}", "(", " choose ", " \"", " [", " many ", ":"][usize::from(kind / 5) % 8].to_owned(),
            ),
        }
    }
    pieces.concat()
}

fn parse_and_format(text: &str) {
    let (_, diagnostics) = parse(SOURCE, text);
    assert!(diagnostics.len() <= portcullis_lang::MAX_DIAGNOSTICS);
    if !diagnostics.has_errors() {
        check("mutated", text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn other_blanks_do_not_matter(
        sample in prop::sample::select(SAMPLES.to_vec()),
        choices in prop::collection::vec(any::<u8>(), 1..400),
    ) {
        let (name, text) = sample;
        let respaced = respaced(text, &choices);
        let (file, diagnostics) = parse(SOURCE, &respaced);
        prop_assert!(!diagnostics.has_errors(), "{} {}", name, respaced);
        // Comments differ, the rest must not.
        prop_assert!(file.items == good(name, text).items, "{}", name);
        check(name, &respaced);
    }

    #[test]
    fn mutated_grammars_are_refused_or_understood(
        sample in prop::sample::select(SAMPLES.to_vec()),
        edits in prop::collection::vec(any::<(u16, u8)>(), 1..8),
    ) {
        parse_and_format(&mutated(sample.1, &edits));
    }

    #[test]
    fn cut_grammars_are_refused_or_understood(
        sample in prop::sample::select(SAMPLES.to_vec()),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
    ) {
        let text: Vec<char> = sample.1.chars().collect();
        let (from, to) = (from.index(text.len()), to.index(text.len()));
        let cut: String = text[from.min(to)..from.max(to)].iter().collect();
        parse_and_format(&cut);
    }

    #[test]
    fn any_text_is_refused_or_understood(text in "\\PC{0,200}") {
        parse_and_format(&text);
    }
}

#[test]
fn nesting_without_end_is_refused() {
    for piece in ["choose a { 1 => ", "many ", "optional ", "{ ", "within 1 { ", "| choose { 1 => ", "record a { "] {
        let text = format!("record r {{ x: {}", piece.repeat(50_000));
        let (_, diagnostics) = parse(SOURCE, &text);
        assert!(diagnostics.has_errors(), "{piece}");
    }
}

// Whoever sends a file of one long line does not get to stop us.
#[test]
fn long_lines_take_no_longer() {
    for piece in ["x: u8 ", "} ", "choose a { 1 => b } ", "{ ", "\"a\" ", "x ", "; "] {
        let text = format!("record r max 4 {{ {}", piece.repeat(200_000));
        let started = std::time::Instant::now();
        let (_, diagnostics) = parse(SOURCE, &text);
        assert!(diagnostics.has_errors());
        assert!(started.elapsed().as_secs() < 20, "{piece}");
    }
}
