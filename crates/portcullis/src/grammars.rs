//! Grammars: the shipped ones, or those of a folder.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_engine::Grammars;
use portcullis_grammar::Program;
use portcullis_grammar::model::Protocol;
use portcullis_lang::{Diagnostics, Sources};

use crate::messages::{self, FileError};
use crate::shipped;

/// Which grammars are loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GrammarChoice {
    Shipped,
    Folder(PathBuf),
}

impl GrammarChoice {
    pub(crate) fn new(folder: Option<PathBuf>) -> GrammarChoice {
        folder.map_or(GrammarChoice::Shipped, GrammarChoice::Folder)
    }
}

/// The text of a grammar or policy under the name that messages show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedText {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A grammar that can be used, and the warnings about it.
pub(crate) struct Loaded {
    pub(crate) protocol: Protocol,
    pub(crate) warnings: Diagnostics,
}

/// Loads the grammars again; those that are in use are kept if not a letter of them has changed, so that flows may go on under
/// other policies.
#[derive(Debug)]
pub(crate) struct Reloading {
    choice: GrammarChoice,
    colour: bool,
    current: Mutex<(Vec<NamedText>, Arc<Grammars>)>,
}

impl Reloading {
    /// For grammars that were loaded from this choice.
    pub(crate) fn new(choice: GrammarChoice, colour: bool, grammars: &Arc<Grammars>) -> Reloading {
        let texts = texts(&choice).unwrap_or_default();
        Reloading { choice, colour, current: Mutex::new((texts, Arc::clone(grammars))) }
    }

    pub(crate) fn load(&self) -> anyhow::Result<Arc<Grammars>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = texts(&self.choice)?;
        if texts != current.0 {
            *current = (texts, load_all(&self.choice, self.colour)?);
        }
        Ok(Arc::clone(&current.1))
    }
}

/// Loads all chosen grammars for the engine; says on standard error what is wrong with those that cannot be used.
pub(crate) fn load_all(choice: &GrammarChoice, colour: bool) -> anyhow::Result<Arc<Grammars>> {
    let mut programs = Vec::new();
    for file in texts(choice)? {
        let name = file.name.clone();
        let mut sources = Sources::new();
        let protocol = match load(&mut sources, file) {
            Ok(loaded) => loaded.protocol,
            Err(diagnostics) => {
                messages::diagnostics(&diagnostics, &sources, colour);
                return Err(FileError::Rejected { what: name, errors: diagnostics.error_count() }.into());
            }
        };
        programs.push(Arc::new(Program::compile(Arc::new(protocol))));
    }
    let names: Vec<&str> = programs.iter().map(|program| program.protocol().name.as_str()).collect();
    tracing::info!(protocols = names.join(", "), "grammars are loaded");
    Ok(Arc::new(Grammars::new(programs)))
}

/// Loads one grammar.
pub(crate) fn load(sources: &mut Sources, file: NamedText) -> Result<Loaded, Diagnostics> {
    let (protocol, warnings) = portcullis_grammar::load(sources, &file.name, &file.text)?;
    Ok(Loaded { protocol, warnings })
}

/// The chosen grammars as texts, in the order of their names.
pub(crate) fn texts(choice: &GrammarChoice) -> Result<Vec<NamedText>, FileError> {
    match choice {
        GrammarChoice::Shipped => Ok(shipped::GRAMMARS.iter().map(of_shipped).collect()),
        GrammarChoice::Folder(folder) => {
            let failed = |source: std::io::Error| match source.kind() {
                std::io::ErrorKind::NotFound => FileError::Missing { path: folder.clone() },
                _ => FileError::Read { path: folder.clone(), source },
            };
            let entries = std::fs::read_dir(folder).map_err(failed)?;
            let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
            let mut paths: Vec<PathBuf> = paths.map_err(failed)?;
            paths.retain(|path| path.extension().is_some_and(|ending| ending == "grammar"));
            paths.sort();
            if paths.is_empty() {
                return Err(FileError::NoGrammars { path: folder.clone() });
            }
            paths.iter().map(|path| of_file(path)).collect()
        }
    }
}

/// A shipped grammar by name, or one in a file. A file of this name comes first.
pub(crate) fn named(path: &Path) -> Result<NamedText, FileError> {
    let shipped = path.to_str().and_then(shipped::grammar).filter(|_| !path.exists());
    match shipped {
        Some(file) => Ok(of_shipped(file)),
        None if is_bare(path) && !path.exists() => {
            Err(FileError::NoSuchGrammar { path: path.to_owned(), shipped: shipped::names(shipped::GRAMMARS) })
        }
        None => of_file(path),
    }
}

/// Whether a path looks like the name of something shipped: no folder, no ending.
pub(crate) fn is_bare(path: &Path) -> bool {
    path.components().count() == 1 && path.extension().is_none() && path != Path::new("-")
}

pub(crate) fn of_shipped(file: &shipped::Shipped) -> NamedText {
    NamedText { name: format!("shipped {}.grammar", file.name), text: file.text.to_owned() }
}

pub(crate) fn of_file(path: &Path) -> Result<NamedText, FileError> {
    Ok(NamedText { name: path.display().to_string(), text: messages::read_text(path)? })
}
