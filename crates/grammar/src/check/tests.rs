//! The checks: models made by hand, for what no text can say any more, and grammar texts with the messages they raise.

mod model;
mod text;

use portcullis_lang::{Diagnostics, Sources, render_all};

use crate::load::load;
use crate::model::Protocol;

/// The model of a text that is right.
pub(crate) fn loaded(text: &str) -> Protocol {
    let mut sources = Sources::new();
    match load(&mut sources, "test.grammar", text) {
        Ok((protocol, _)) => protocol,
        Err(diagnostics) => panic!("{}", render_all(&diagnostics, &sources, false)),
    }
}

/// Loads a text of a page or case. They are about one thing each, and do not all say what they run on.
pub(crate) fn load_page(sources: &mut Sources, text: &str) -> Result<(Protocol, Diagnostics), Diagnostics> {
    let whole = if text.contains("protocol ") { text.to_owned() } else { format!("protocol page\n{text}") };
    load(sources, "page.grammar", &whole)
}

/// The code blocks under a heading of a page.
pub(crate) fn blocks<'p>(page: &'p str, heading: &str) -> Vec<&'p str> {
    let section = page.split("\n## ").find_map(|section| section.strip_prefix(heading)).unwrap_or("");
    section.split("```grammar\n").skip(1).filter_map(|block| block.split("```").next()).collect()
}
