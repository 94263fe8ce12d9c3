//! `portcullis graph`: the machine of a protocol as a drawing.

use std::io::Write;

use portcullis_grammar::graph;
use portcullis_lang::Sources;

use crate::arguments::GraphFormat;
use crate::messages::{self, FileError};
use crate::plan::{Colour, GraphTask};
use crate::{Outcome, grammars};

pub(crate) fn run(task: &GraphTask, colour: Colour) -> anyhow::Result<Outcome> {
    let file = grammars::named(&task.grammar)?;
    let name = file.name.clone();
    let mut sources = Sources::new();
    let loaded = match grammars::load(&mut sources, file) {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            messages::diagnostics(&diagnostics, &sources, colour.stderr);
            return Err(FileError::Rejected { what: name, errors: diagnostics.error_count() }.into());
        }
    };
    let drawing = match task.format {
        GraphFormat::Dot => graph::dot(&loaded.protocol),
        GraphFormat::Mermaid => graph::mermaid(&loaded.protocol),
    };
    std::io::stdout().lock().write_all(drawing.as_bytes())?;
    Ok(Outcome::Fine)
}
