//! What the binary carries: grammars, policies with their lists, and the page of each code.

use portcullis_lang::Code;

/// A file in the binary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shipped {
    /// Its name without folder and ending: what people type.
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
}

macro_rules! files {
    ($folder:literal, $ending:literal: $($name:literal)*) => {
        &[$(Shipped { name: $name, text: include_str!(concat!("../../../", $folder, "/", $name, $ending)) }),*]
    };
}

/// All grammars, in the order of their names.
pub(crate) const GRAMMARS: &[Shipped] = files!("grammars", ".grammar": "dns" "smtp");

/// All policies.
pub(crate) const POLICIES: &[Shipped] =
    files!("policies", ".policy": "dns" "smtp" "smtp-no-chunking" "smtp-strict" "smtp-tidy");

/// Policies that apply if none is named: those that alert and let pass.
pub(crate) const DEFAULT_POLICIES: &[&str] = &["smtp", "dns"];

/// Lists that policies name, by their path from the folder of the policies.
const LISTS: &[(&str, &str)] =
    &[("lists/banned-domains.txt", include_str!("../../../policies/lists/banned-domains.txt"))];

macro_rules! pages {
    ($($code:ident)*) => {
        &[$((Code::$code, include_str!(concat!("../../../docs/codes/", stringify!($code), ".md")))),*]
    };
}

/// The page of each code.
const PAGES: &[(Code, &str)] = pages! {
    S1 S2 S3 S4 S5 S6 S7 S8 C1 C2 C3 C4 C5 C6 C7 C8 C9 C10 C11 C12 C13 C14 C15 C16 C17 C18 C19 C20 C21 C22 C23 C24
};

/// The shipped grammar of this name.
pub(crate) fn grammar(name: &str) -> Option<&'static Shipped> {
    GRAMMARS.iter().find(|file| file.name == name)
}

/// The shipped policy of this name.
pub(crate) fn policy(name: &str) -> Option<&'static Shipped> {
    POLICIES.iter().find(|file| file.name == name)
}

/// A shipped list.
pub(crate) fn list(path: &str) -> Option<&'static str> {
    LISTS.iter().find(|(name, _)| *name == path).map(|(_, text)| *text)
}

/// The page about a code.
pub(crate) fn page(code: Code) -> Option<&'static str> {
    PAGES.iter().find(|(of, _)| *of == code).map(|(_, text)| *text)
}

/// The names of files, for messages.
pub(crate) fn names(files: &[Shipped]) -> String {
    files.iter().map(|file| file.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn files_in(folder: &str, ending: &str) -> Vec<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter_map(|name| name.strip_suffix(ending).map(str::to_owned)).collect();
        names.sort();
        names
    }

    fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_of_the_folders_is_missing() {
        assert_eq!(files_in("grammars", ".grammar"), sorted(GRAMMARS.iter().map(|file| file.name)));
        assert_eq!(files_in("policies", ".policy"), sorted(POLICIES.iter().map(|file| file.name)));
        let lists = LISTS.iter().filter_map(|(name, _)| name.strip_prefix("lists/"));
        assert_eq!(files_in("policies/lists", ""), sorted(lists));
        assert!(DEFAULT_POLICIES.iter().all(|name| policy(name).is_some()));
    }

    #[test]
    fn every_code_has_a_page_that_begins_with_it() {
        for &code in Code::ALL {
            let page = page(code).unwrap_or_else(|| panic!("docs/codes/{code}.md is not in the binary"));
            assert!(page.starts_with(&format!("# {code}: ")), "{code}");
        }
    }
}
