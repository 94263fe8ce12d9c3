//! Texts that are looked for in another.

use crate::formula::Position;

/// One or several texts, of which one has to be found.
///
/// Most texts have none of them, and one look at each octet tells: does any of the texts begin with it?
///
/// ```
/// # use portcullis_lang::{Needles, Position};
/// let shell = Needles::new(vec![(*b"$(").into(), (*b"%0a").into()], true);
/// assert!(shell.are_found(b"x%0Ay@example.org", Position::Anywhere));
/// assert!(!shell.are_found(b"x%1$y@example.org", Position::Anywhere));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needles {
    texts: Vec<Box<[u8]>>,
    fold: bool,
    /// By octet: whether a text begins with it.
    begins: Box<[bool; 256]>,
}

impl Needles {
    /// These texts; `fold`: letters match in either case.
    pub fn new(texts: Vec<Box<[u8]>>, fold: bool) -> Needles {
        let begins = |octet: u8| {
            let begins_with = |text: &[u8]| text.first().is_none_or(|first| is_same(&[*first], &[octet], fold));
            texts.iter().any(|text| begins_with(text))
        };
        let mut table = Box::new([false; 256]);
        for (octet, entry) in (0..=u8::MAX).zip(table.iter_mut()) {
            *entry = begins(octet);
        }
        Needles { texts, fold, begins: table }
    }

    /// The texts.
    pub fn texts(&self) -> &[Box<[u8]>] {
        &self.texts
    }

    /// Whether letters match in either case.
    pub fn fold(&self) -> bool {
        self.fold
    }

    /// Whether one of them is at this position of a text.
    pub fn are_found(&self, text: &[u8], position: Position) -> bool {
        let is_at = |place: Option<&[u8]>, needle: &[u8]| place.is_some_and(|part| is_same(part, needle, self.fold));
        match position {
            Position::Start => self.texts.iter().any(|needle| is_at(text.get(..needle.len()), needle)),
            Position::End => {
                let end = |needle: &[u8]| text.len().checked_sub(needle.len()).and_then(|start| text.get(start..));
                self.texts.iter().any(|needle| is_at(end(needle), needle))
            }
            Position::Anywhere => match self.texts.as_slice() {
                [needle] if !self.fold => memchr::memmem::find(text, needle).is_some(),
                texts if texts.iter().any(|needle| needle.is_empty()) => true,
                texts => {
                    let begins = |octet: u8| self.begins.get(usize::from(octet)).copied().unwrap_or(false);
                    let is_here = |at: usize| {
                        let rest = text.get(at..).unwrap_or_default();
                        texts.iter().any(|needle| is_at(rest.get(..needle.len()), needle))
                    };
                    text.iter().enumerate().any(|(at, octet)| begins(*octet) && is_here(at))
                }
            },
        }
    }
}

fn is_same(one: &[u8], other: &[u8], fold: bool) -> bool {
    if fold { one.eq_ignore_ascii_case(other) } else { one == other }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(texts: &[Vec<u8>], fold: bool, text: &[u8], position: Position) -> bool {
        let lower = |octets: &[u8]| if fold { octets.to_ascii_lowercase() } else { octets.to_vec() };
        let text = lower(text);
        texts.iter().map(|needle| lower(needle)).any(|needle| match position {
            Position::Start => text.starts_with(&needle),
            Position::End => text.ends_with(&needle),
            Position::Anywhere => (0..=text.len()).any(|at| text[at..].starts_with(&needle)),
        })
    }

    proptest! {
        #[test]
        fn agrees_with_a_look_at_each_place(
            texts in proptest::collection::vec(proptest::collection::vec(prop::sample::select(b"aAbB%\xe1".to_vec()), 0..4), 0..4),
            text in proptest::collection::vec(prop::sample::select(b"aAbB%\xe1\xc1".to_vec()), 0..12),
            fold: bool,
        ) {
            let needles = Needles::new(texts.iter().map(|needle| needle.as_slice().into()).collect(), fold);
            for position in [Position::Start, Position::End, Position::Anywhere] {
                prop_assert_eq!(needles.are_found(&text, position), naive(&texts, fold, &text, position), "{:?}", position);
            }
        }
    }
}
