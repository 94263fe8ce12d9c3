use portcullis_lang::{Sources, render_all};

use super::super::parse;

/// Parses a text that has to be right.
fn good(name: &str, text: &str) {
    let mut sources = Sources::new();
    let source = sources.add(name, text);
    let (_, diagnostics) = parse(source, sources.text(source));
    assert!(diagnostics.is_empty(), "{}", render_all(&diagnostics, &sources, false));
}

#[test]
fn shipped() {
    good("smtp.grammar", include_str!("../../../../../grammars/smtp.grammar"));
    good("dns.grammar", include_str!("../../../../../grammars/dns.grammar"));
}
