//! What is said on standard error: errors, what is wrong with grammars and policies, and the log.

use std::io::Write;
use std::path::{Path, PathBuf};

use portcullis_lang::{Diagnostics, Sources, render_all};
use tracing_subscriber::EnvFilter;

/// The variable that chooses what is logged, in the language of tracing's `EnvFilter`.
const LOG_VARIABLE: &str = "PORTCULLIS_LOG";

/// Sends the log to standard error.
pub(crate) fn start_log(verbosity: u8, colour: bool) {
    let level = match verbosity {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .without_time()
        .init();
}

/// Writes an error in the form of the messages about grammars and policies.
pub(crate) fn error(text: &str, colour: bool) {
    write_head("error", "\u{1b}[1m\u{1b}[91m", text, colour);
}

/// Writes a warning.
pub(crate) fn warning(text: &str, colour: bool) {
    write_head("warning", "\u{1b}[1m\u{1b}[33m", text, colour);
}

fn write_head(head: &str, style: &str, text: &str, colour: bool) {
    // Where standard error is closed there is nobody to tell.
    let _ = match colour {
        true => writeln!(std::io::stderr(), "{style}{head}\u{1b}[0m: {text}"),
        false => writeln!(std::io::stderr(), "{head}: {text}"),
    };
}

/// Writes what is wrong with grammars or policies, with an empty line behind each.
pub(crate) fn diagnostics(diagnostics: &Diagnostics, sources: &Sources, colour: bool) {
    if !diagnostics.is_empty() {
        let _ = writeln!(std::io::stderr(), "{}\n", render_all(diagnostics, sources, colour).trim_end());
    }
}

/// What can be wrong with a file that the command line names, or with its content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("cannot read {path:?}: there is no such file; check the path, it is taken from the current directory")]
    Missing { path: PathBuf },

    #[error("cannot read {path:?}: it is a directory; name the files in it")]
    Directory { path: PathBuf },

    #[error("cannot read {path:?}: {source}")]
    Read { path: PathBuf, source: std::io::Error },

    #[error(
        "cannot read {path:?}: it is no text: byte {offset} is not UTF-8; was a capture or a binary named by mistake?"
    )]
    NotText { path: PathBuf, offset: usize },

    #[error("cannot read {path:?}: it is longer than {most} bytes, which is the most for a grammar or policy")]
    TooLong { path: PathBuf, most: usize },

    #[error("cannot tell what {path:?} is: names of grammars end in .grammar, those of policies in .policy")]
    UnknownKind { path: PathBuf },

    #[error("cannot format {path:?}: policies have no common layout yet, only grammars have")]
    NoLayout { path: PathBuf },

    #[error("there is no grammar in {path:?}: a folder of grammars has at least one file NAME.grammar")]
    NoGrammars { path: PathBuf },

    #[error("there is no file {path:?} and no shipped grammar of this name; shipped are {shipped}")]
    NoSuchGrammar { path: PathBuf, shipped: String },

    #[error(
        "there is no file {path:?} and no shipped policy of this name; shipped are {shipped}, and `none` turns rules off"
    )]
    NoSuchPolicy { path: PathBuf, shipped: String },

    #[error("`--policy none` turns all rules off and cannot stand beside other policies; leave one or the other out")]
    NoneAmongPolicies,

    /// The diagnostics were written already.
    #[error("{what} cannot be used: {}", counted(*errors))]
    Rejected { what: String, errors: usize },
}

fn counted(errors: usize) -> String {
    match errors {
        1 => "there is 1 error in it".to_owned(),
        errors => format!("there are {errors} errors in it"),
    }
}

/// The text of a grammar or policy.
pub(crate) fn read_text(path: &Path) -> Result<String, FileError> {
    use std::io::Read;

    let most = portcullis_lang::MAX_SOURCE_BYTES;
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => FileError::Missing { path: path.to_owned() },
        std::io::ErrorKind::IsADirectory => FileError::Directory { path: path.to_owned() },
        _ => FileError::Read { path: path.to_owned(), source },
    };
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    match path == Path::new("-") {
        true => std::io::stdin().lock().take(limit).read_to_end(&mut bytes),
        false => std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)),
    }
    .map_err(failed)?;
    if bytes.len() > most {
        return Err(FileError::TooLong { path: path.to_owned(), most });
    }
    String::from_utf8(bytes)
        .map_err(|error| FileError::NotText { path: path.to_owned(), offset: error.utf8_error().valid_up_to() })
}
