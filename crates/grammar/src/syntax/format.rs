//! `portcullis fmt`: a grammar in its canonical layout.

use portcullis_lang::{Alignment, Diagnostics, SourceId, arrange};

use super::parse::parse_all;

/// Lays out a grammar: one field a line except in braces that were written on one, types and arrows aligned, comments kept.
///
/// A text with errors is not touched; they are returned instead. Formatting twice gives what formatting once does, and the tree
/// stays the same.
pub fn format(source: SourceId, text: &str) -> Result<String, Diagnostics> {
    let (file, mut read) = parse_all(source, text);
    if read.diagnostics.has_errors() {
        return Err(read.diagnostics);
    }
    read.comments = file.comments;
    Ok(arrange(text, &read, alignment))
}

// Which token of a line is aligned with the lines around it.
fn alignment(tokens: &[&str]) -> Option<Alignment> {
    let first = *tokens.first()?;
    let second = *tokens.get(1)?;
    let mark = |kind, at| Some(Alignment { kind, at, least: 0 });
    if second == ":" {
        return mark(0, 2);
    }
    let find = |wanted: &str| outside_of_braces(tokens, wanted);
    match first {
        "let" if tokens.get(2) == Some(&"=") => mark(1, 2),
        "on" => mark(2, find("->").unwrap_or(tokens.len())),
        "anomaly" | "enum" => mark(3, 2),
        "start" | "join" => mark(4, 1),
        // `down` has four letters.
        "up" | "down" => Some(Alignment { kind: 5, at: 1, least: 4 }),
        _ => mark(6, find("=>")?),
    }
}

fn outside_of_braces(tokens: &[&str], wanted: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, &token) in tokens.iter().enumerate() {
        match token {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ if depth == 0 && token == wanted => return Some(index),
            _ => {}
        }
    }
    None
}
