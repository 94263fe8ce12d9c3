//! Streams: content that flows through and is never held.
//!
//! A [`Flowing`] is a stream in progress. It is fed octets, hands on those that are content as slices of what it was
//! fed, and says where it ends. What it keeps between two calls is a few numbers.

pub(crate) mod canonise;
mod lines;
mod literal;
mod octets;

use portcullis_lang::AnomalyId;

use crate::model::{Newline, Source, Stream};
use lines::Lines;
use literal::UntilLiteral;

/// A stream in progress.
#[derive(Clone, Debug)]
pub(crate) enum Flowing {
    /// So many octets are still to come.
    Octets(u64),
    /// To the end of the direction.
    ToEnd,
    Lines(Lines),
    Literal(UntilLiteral),
}

/// What a stream gives while it is fed.
pub(crate) enum Piece<'a> {
    /// Content.
    Content(&'a [u8]),
    /// A deviation, so many octets from the beginning of what was fed; it may lie before it.
    Anomaly(AnomalyId, i64),
    /// A newline that is not canonical, told right before the first of its kind: which octet stands alone, where, and
    /// whether it stands behind the octet that hides a line and nothing else.
    Alone { octet: u8, at: i64, hides: bool },
}

impl Flowing {
    /// Begins a stream. `size`: the value of the formula of [`Source::Bytes`].
    pub(crate) fn new(stream: &Stream, newline: &Newline, size: u64) -> Flowing {
        match &stream.source {
            Source::Bytes(_) => Flowing::Octets(size),
            Source::ToEnd => Flowing::ToEnd,
            Source::Lines { .. } => Flowing::Lines(Lines::new(newline)),
            Source::Literal(_) => Flowing::Literal(UntilLiteral::default()),
        }
    }

    /// Whether the stream is complete without any octet.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self, Flowing::Octets(0))
    }

    /// Feeds octets. Gives how many belong to the stream, and whether it is complete.
    pub(crate) fn feed<'a>(
        &mut self,
        stream: &'a Stream,
        newline: &'a Newline,
        input: &'a [u8],
        out: &mut dyn FnMut(Piece<'a>),
    ) -> (usize, bool) {
        match (self, &stream.source) {
            (Flowing::Octets(left), _) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left = left.saturating_sub(count as u64);
                let content = input.get(..count).unwrap_or_default();
                if !content.is_empty() {
                    out(Piece::Content(content));
                }
                (count, *left == 0)
            }
            (Flowing::Lines(lines), Source::Lines { text, lookalikes, long }) => {
                let form =
                    lines::Form { text, remove: stream.remove_leading, lookalikes: *lookalikes, long: *long, newline };
                lines.feed(&form, input, out)
            }
            (Flowing::Literal(literal), Source::Literal(text)) => literal.feed(text, input, out),
            _ => {
                if !input.is_empty() {
                    out(Piece::Content(input));
                }
                (input.len(), false)
            }
        }
    }

    /// How many octets before the next one may be the last line and are not sure to be content.
    pub(crate) fn undecided(&self) -> u64 {
        match self {
            Flowing::Lines(lines) => lines.undecided(),
            _ => 0,
        }
    }

    /// Octets are missing. Gives how many of them belong to the stream, and whether that completes it.
    pub(crate) fn gap(&mut self, length: u64) -> (u64, bool) {
        match self {
            Flowing::Octets(left) => {
                let lost = length.min(*left);
                *left -= lost;
                (lost, *left == 0)
            }
            Flowing::ToEnd => (length, false),
            Flowing::Lines(lines) => {
                lines.gap();
                (length, false)
            }
            Flowing::Literal(literal) => {
                *literal = UntilLiteral::default();
                (length, false)
            }
        }
    }
}

#[cfg(test)]
mod tests;
