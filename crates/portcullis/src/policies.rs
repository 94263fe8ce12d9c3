//! Policies: the shipped ones, files, or none; and the lists that they name.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis_engine::Grammars;
use portcullis_lang::{Diagnostics, ProtocolScheme, SourceId, Sources};
use portcullis_policy::{Compiled, ListRequest, PolicySet};

use crate::grammars::is_bare;
use crate::messages::{self, FileError};
use crate::shipped;

/// Which policies judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PolicyChoice {
    /// Those of [`shipped::DEFAULT_POLICIES`] whose protocol is loaded.
    Default,
    /// No rules at all.
    None,
    /// Files and shipped ones, in order.
    Named(Vec<PathBuf>),
}

impl PolicyChoice {
    pub(crate) fn new(named: Vec<PathBuf>) -> PolicyChoice {
        match named.as_slice() {
            [] => PolicyChoice::Default,
            [only] if only == Path::new("none") => PolicyChoice::None,
            _ => PolicyChoice::Named(named),
        }
    }
}

/// A policy and where the lists are that it names.
#[derive(Clone, Debug)]
pub(crate) struct PolicyText {
    /// What messages call it.
    pub(crate) name: String,
    pub(crate) text: String,
    origin: Origin,
}

#[derive(Clone, Debug)]
enum Origin {
    Shipped,
    Folder(PathBuf),
}

impl PolicyText {
    pub(crate) fn of_shipped(file: &shipped::Shipped) -> PolicyText {
        PolicyText {
            name: format!("shipped {}.policy", file.name),
            text: file.text.to_owned(),
            origin: Origin::Shipped,
        }
    }

    pub(crate) fn of_file(path: &Path) -> Result<PolicyText, FileError> {
        Ok(PolicyText {
            name: path.display().to_string(),
            text: messages::read_text(path)?,
            origin: Origin::Folder(path.parent().unwrap_or(Path::new("")).to_owned()),
        })
    }

    /// A file, or where there is none, a shipped policy of this name.
    pub(crate) fn named(path: &Path) -> Result<PolicyText, FileError> {
        if path == Path::new("none") {
            return Err(FileError::NoneAmongPolicies);
        }
        match path.to_str().and_then(shipped::policy).filter(|_| !path.exists()) {
            Some(file) => Ok(PolicyText::of_shipped(file)),
            None if is_bare(path) && !path.exists() => {
                Err(FileError::NoSuchPolicy { path: path.to_owned(), shipped: shipped::names(shipped::POLICIES) })
            }
            None => PolicyText::of_file(path),
        }
    }

    fn list(&self, path: &str, max: usize) -> Result<Vec<u8>, String> {
        let folder = match &self.origin {
            Origin::Shipped => {
                return shipped::list(path).map(|text| text.as_bytes().to_vec()).ok_or("it is not shipped".to_owned());
            }
            Origin::Folder(folder) => folder,
        };
        let read = || {
            let mut bytes = Vec::new();
            let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
            std::fs::File::open(folder.join(path))?.take(limit).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => "no such file".to_owned(),
            std::io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        })
    }
}

/// Loads the chosen policies for the engine; says on standard error what is wrong with them.
pub(crate) fn load_all(choice: &PolicyChoice, grammars: &Grammars, colour: bool) -> anyhow::Result<Arc<PolicySet>> {
    let texts: Vec<PolicyText> = match choice {
        PolicyChoice::None => Vec::new(),
        PolicyChoice::Default => {
            let loaded = |name: &&&str| grammars.by_name(name).is_some();
            let files = shipped::DEFAULT_POLICIES.iter().filter(loaded).filter_map(|name| shipped::policy(name));
            files.map(PolicyText::of_shipped).collect()
        }
        PolicyChoice::Named(paths) => paths.iter().map(|path| PolicyText::named(path)).collect::<Result<_, _>>()?,
    };
    let names: Vec<String> = texts.iter().map(|text| text.name.clone()).collect();
    let mut sources = Sources::new();
    match compile(&mut sources, texts, &grammars.schemes()) {
        Ok(compiled) => {
            messages::diagnostics(&compiled.warnings, &sources, colour);
            tracing::info!(policies = names.join(", "), rules = compiled.policies.rules().len(), "policies are loaded");
            Ok(Arc::new(compiled.policies))
        }
        Err(diagnostics) => {
            messages::diagnostics(&diagnostics, &sources, colour);
            let what = names.join(", ");
            Err(FileError::Rejected { what, errors: diagnostics.error_count() }.into())
        }
    }
}

/// Compiles policies that are read in this order.
pub(crate) fn compile(
    sources: &mut Sources,
    texts: Vec<PolicyText>,
    schemes: &[Arc<ProtocolScheme>],
) -> Result<Compiled, Diagnostics> {
    let files: Vec<SourceId> = texts.iter().map(|text| sources.add(text.name.clone(), text.text.clone())).collect();
    let mut loader = |request: &ListRequest<'_>| {
        let policy = texts.iter().find(|text| text.name == request.policy);
        policy.map_or_else(|| Err("its policy is unknown".to_owned()), |text| text.list(request.path, request.max))
    };
    PolicySet::compile(sources, &files, schemes, &mut loader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_stands_alone() {
        assert_eq!(PolicyChoice::new(vec![]), PolicyChoice::Default);
        assert_eq!(PolicyChoice::new(vec!["none".into()]), PolicyChoice::None);
        assert!(matches!(PolicyChoice::new(vec!["none".into(), "smtp".into()]), PolicyChoice::Named(_)));
        assert!(matches!(PolicyText::named(Path::new("none")), Err(FileError::NoneAmongPolicies)));
    }

    #[test]
    fn shipped_policies_are_found_by_name_and_have_their_lists() {
        let smtp = PolicyText::named(Path::new("smtp")).unwrap();
        assert!(smtp.text.contains("policy smtp for smtp"));
        assert!(smtp.list("lists/banned-domains.txt", 1000).is_ok());
        assert_eq!(smtp.list("lists/other.txt", 1000).unwrap_err(), "it is not shipped");
        let message = PolicyText::named(Path::new("smpt")).unwrap_err().to_string();
        assert!(message.contains("shipped are dns, smtp, smtp-no-chunking, smtp-strict, smtp-tidy"), "{message}");
    }
}
