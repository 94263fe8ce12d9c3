//! Content up to a text, which is consumed.

use memchr::memmem;

use super::Piece;

/// `until LITERAL` in progress: how many octets of the text the octets so far end with.
#[derive(Clone, Debug, Default)]
pub(crate) struct UntilLiteral {
    matched: usize,
}

impl UntilLiteral {
    pub(super) fn feed<'a>(
        &mut self,
        text: &'a [u8],
        input: &'a [u8],
        out: &mut dyn FnMut(Piece<'a>),
    ) -> (usize, bool) {
        let mut at = 0;
        while self.matched > 0 {
            let Some(octet) = input.get(at) else { return (input.len(), false) };
            if text.get(self.matched) == Some(octet) {
                self.matched += 1;
                at += 1;
                if self.matched == text.len() {
                    return (at, true);
                }
                continue;
            }
            // What was held begins with content; keep the longest part of it that can still be the text.
            let held = text.get(..self.matched).unwrap_or_default();
            let keep = (0..self.matched).rev().find(|keep| text.get(..*keep).is_some_and(|part| held.ends_with(part)));
            let keep = keep.unwrap_or(0);
            out(Piece::Content(held.get(..self.matched - keep).unwrap_or_default()));
            self.matched = keep;
        }
        let rest = input.get(at..).unwrap_or_default();
        if let Some(found) = memmem::find(rest, text) {
            if found > 0 {
                out(Piece::Content(rest.get(..found).unwrap_or_default()));
            }
            return (at + found + text.len(), true);
        }
        let longest = text.len().saturating_sub(1).min(rest.len());
        let held = (0..=longest).rev().find(|held| text.get(..*held).is_some_and(|part| rest.ends_with(part)));
        self.matched = held.unwrap_or(0);
        let content = rest.get(..rest.len() - self.matched).unwrap_or_default();
        if !content.is_empty() {
            out(Piece::Content(content));
        }
        (input.len(), false)
    }
}
