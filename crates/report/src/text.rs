//! Octets from the wire as text that is safe in a record and on a terminal.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::limits::MAX_TEXT;

/// Octets from the wire, shown as text from which they can be had back.
///
/// Valid UTF-8 stands as it is, so that addresses of RFC 6531 can be read. What could harm whoever reads it stands as
/// `\xHH`, one for each octet: octets that are not UTF-8, control characters (of C0, DEL and C1), and the characters
/// that change the direction of the text. A backslash before an `x` is itself written `\x5c`, so that each `\xHH` in
/// the output stands for one octet, and everything else for itself: nothing is lost.
///
/// Longer octets than the bound are cut there, between two characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    octets: &'a [u8],
    max: usize,
}

impl<'a> Text<'a> {
    /// The text of these octets, at most [`MAX_TEXT`] of them.
    pub fn new(octets: &'a [u8]) -> Text<'a> {
        Text::bounded(octets, MAX_TEXT)
    }

    /// The text of at most `max` of these octets.
    pub fn bounded(octets: &'a [u8], max: usize) -> Text<'a> {
        Text { octets, max }
    }

    /// Whether the bound cuts something off.
    pub fn is_cut(&self) -> bool {
        self.octets.len() > self.max
    }

    fn shown(&self) -> &'a [u8] {
        cut(self.octets, self.max)
    }
}

/// At most `max` of these octets; the cut does not split a character of UTF-8.
pub(crate) fn cut(octets: &[u8], max: usize) -> &[u8] {
    let Some(kept) = octets.get(..max) else { return octets };
    let splits = octets.get(max).is_some_and(|octet| octet & 0xc0 == 0x80);
    // A character has at most four octets, of which the first says so.
    let start = (1..=3).find(|back| {
        let at = kept.len().checked_sub(*back);
        at.and_then(|at| kept.get(at)).is_some_and(|octet| *octet >= 0xc0)
    });
    match start {
        Some(back) if splits => kept.get(..kept.len().saturating_sub(back)).unwrap_or(kept),
        _ => kept,
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.shown().utf8_chunks() {
            let text = chunk.valid();
            let mut plain = 0;
            for (at, character) in text.char_indices() {
                let end = at.saturating_add(character.len_utf8());
                let rest = text.get(end..).unwrap_or_default();
                let before_x = character == '\\' && rest.starts_with('x');
                if before_x || is_harmful(character) {
                    f.write_str(text.get(plain..at).unwrap_or_default())?;
                    write_octets(f, text.as_bytes().get(at..end).unwrap_or_default())?;
                    plain = end;
                }
            }
            f.write_str(text.get(plain..).unwrap_or_default())?;
            write_octets(f, chunk.invalid())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Control characters, and those that turn the text around (UAX 9), with which an address can be made to look like
/// another.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn write_octets(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    octets.iter().try_for_each(|octet| write!(f, "\\x{octet:02x}"))
}

/// Octets in hexadecimal, with a separator between two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hex<'a> {
    pub(crate) octets: &'a [u8],
    pub(crate) separator: &'static str,
}

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, octet) in self.octets.iter().enumerate() {
            let separator = if index == 0 { "" } else { self.separator };
            write!(f, "{separator}{octet:02x}")?;
        }
        Ok(())
    }
}

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the escapes stand for, as a reader of records would take them back.
    fn taken_back(text: &str) -> Vec<u8> {
        let bytes = text.as_bytes();
        let mut octets = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let escape = text.get(at..at + 4).filter(|four| four.starts_with("\\x"));
            match escape.and_then(|four| u8::from_str_radix(&four[2..], 16).ok()) {
                Some(octet) => {
                    octets.push(octet);
                    at += 4;
                }
                None => {
                    octets.push(bytes[at]);
                    at += 1;
                }
            }
        }
        octets
    }

    #[test]
    fn what_harms_is_escaped_and_the_rest_stands() {
        let shown = |octets: &[u8]| Text::new(octets).to_string();
        assert_eq!(shown(b"<user@example.com>"), "<user@example.com>");
        assert_eq!(shown("<müller@bücher.example>".as_bytes()), "<müller@bücher.example>");
        assert_eq!(shown(b"a\r\n\x1b[31mb\x00\x7f"), r"a\x0d\x0a\x1b[31mb\x00\x7f");
        assert_eq!(shown(b"\xff\xc3("), r"\xff\xc3(");
        assert_eq!(shown("a\u{9b}b\u{202e}c".as_bytes()), r"a\xc2\x9bb\xe2\x80\xaec");
        assert_eq!(shown(br"DOMAIN\user"), r"DOMAIN\user");
        assert_eq!(shown(br"\x41"), r"\x5cx41");
    }

    #[test]
    fn a_cut_does_not_split_a_character() {
        assert_eq!(Text::bounded("abü".as_bytes(), 3).to_string(), "ab");
        assert_eq!(Text::bounded("abü".as_bytes(), 4).to_string(), "abü");
        assert_eq!(Text::bounded(b"abcd", 3).to_string(), "abc");
        assert_eq!(Text::bounded("😀😀".as_bytes(), 7).to_string(), "😀");
        assert!(Text::bounded(b"abcd", 3).is_cut());
        assert_eq!(Text::bounded(&[0x80; 5], 3).to_string(), r"\x80\x80\x80");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_harmful_is_left(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = Text::new(&octets).to_string();
            prop_assert!(!text.chars().any(is_harmful));
            prop_assert_eq!(taken_back(&text), octets);
        }

        #[test]
        fn backslashes_are_not_lost_either(text in r"[\\x0-9a-f]{0,40}") {
            prop_assert_eq!(taken_back(&Text::new(text.as_bytes()).to_string()), text.as_bytes());
        }
    }
}
