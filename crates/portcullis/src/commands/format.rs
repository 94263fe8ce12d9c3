//! `portcullis fmt`: grammars in the common layout.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use portcullis_lang::Sources;

use crate::Outcome;
use crate::messages::{self, FileError};
use crate::plan::{Colour, FormatTask};

pub(crate) fn run(task: &FormatTask, colour: Colour) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::Fine;
    for path in &task.files {
        match format_one(path, task.check, colour)? {
            Done::Kept => {}
            Done::Changed if task.check => {
                writeln!(std::io::stdout(), "{}", path.display())?;
                outcome = worse(outcome, Outcome::Found);
            }
            Done::Changed => tracing::info!(file = %path.display(), "formatted"),
            Done::Wrong => outcome = Outcome::Bad,
        }
    }
    Ok(outcome)
}

/// What became of a file.
enum Done {
    Kept,
    Changed,
    /// It cannot be parsed; why was said.
    Wrong,
}

fn format_one(path: &Path, check: bool, colour: Colour) -> anyhow::Result<Done> {
    let standard_input = path == Path::new("-");
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("policy") => return Err(FileError::NoLayout { path: path.to_owned() }.into()),
        Some("grammar") => {}
        _ if standard_input => {}
        _ => return Err(FileError::UnknownKind { path: path.to_owned() }.into()),
    }
    let text = messages::read_text(path)?;
    let mut sources = Sources::new();
    let source = sources.add(if standard_input { "standard input".into() } else { path.display().to_string() }, &text);
    let formatted = match portcullis_grammar::syntax::format(source, &text) {
        Ok(formatted) => formatted,
        Err(diagnostics) => {
            messages::diagnostics(&diagnostics, &sources, colour.stderr);
            return Ok(Done::Wrong);
        }
    };
    if standard_input && !check {
        std::io::stdout().lock().write_all(formatted.as_bytes())?;
        return Ok(Done::Kept);
    }
    if formatted == text {
        return Ok(Done::Kept);
    }
    if !check {
        replace(path, &formatted).with_context(|| format!("cannot write {path:?}"))?;
    }
    Ok(Done::Changed)
}

/// Puts a new file in the place of the old one, so that nobody ever sees half of it. What a link points to is replaced,
/// not the link.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let path = path.canonicalize()?;
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let new: PathBuf = path.with_file_name(name);
    std::fs::write(&new, text)?;
    std::fs::set_permissions(&new, std::fs::metadata(&path)?.permissions())?;
    std::fs::rename(&new, &path)
}

fn worse(one: Outcome, other: Outcome) -> Outcome {
    if one == Outcome::Bad { one } else { other }
}
