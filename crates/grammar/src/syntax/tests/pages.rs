//! The pages on the codes of syntax errors are right: what they show raises the code, what they recommend does not.

use portcullis_lang::{Code, SourceId};

use super::super::parse;

const PAGES: &[(Code, &str)] = &[
    (Code::S1, include_str!("../../../../../docs/codes/S1.md")),
    (Code::S2, include_str!("../../../../../docs/codes/S2.md")),
    (Code::S3, include_str!("../../../../../docs/codes/S3.md")),
    (Code::S4, include_str!("../../../../../docs/codes/S4.md")),
    (Code::S5, include_str!("../../../../../docs/codes/S5.md")),
    (Code::S7, include_str!("../../../../../docs/codes/S7.md")),
];

/// The code blocks under a heading.
fn blocks<'p>(page: &'p str, heading: &str) -> Vec<&'p str> {
    let section = page.split("\n## ").find_map(|section| section.strip_prefix(heading)).unwrap_or("");
    section.split("```grammar\n").skip(1).filter_map(|block| block.split("```").next()).collect()
}

#[test]
fn pages_show_what_they_are_about() {
    for (code, page) in PAGES {
        assert!(page.starts_with(&format!("# {code}: ")), "{code}");
        let codes = |text| -> Vec<Code> { parse(SourceId(0), text).1.iter().map(|one| one.code).collect() };
        let (wrong, right) = (blocks(page, "Example"), blocks(page, "Instead"));
        assert!(!wrong.is_empty() && !right.is_empty(), "{code}");
        for text in wrong {
            assert_eq!(codes(text), [*code], "{text}");
        }
        for text in right {
            assert_eq!(codes(text), [], "{text}");
        }
    }
}
