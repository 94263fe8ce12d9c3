//! Octets that may not leave yet, because an answer of the other side decides what they are.
//!
//! A correct client waits for the answer to DATA, STARTTLS or AUTH. What one sends before it is kept here: its packets
//! are dropped and, when the answer has come and the octets were judged, sent on in its name. Its own retransmissions,
//! which come in the meantime because nothing was acknowledged, are of no use then.

use portcullis_wire::Timestamp;

/// Octets of one direction of a flow that are held.
#[derive(Debug)]
pub(super) struct Held {
    /// Octets of the direction before them.
    begin: u64,
    octets: Vec<u8>,
    /// Whether the direction ends behind them.
    end: bool,
    since: Timestamp,
}

/// What became of octets that were to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// They are held.
    Held,
    /// They were held already, or do not follow on what is.
    Known,
    /// They are more than may be held.
    TooMany,
}

impl Held {
    /// Begins to hold what lies behind so many octets of a direction.
    pub(super) fn new(begin: u64, now: Timestamp) -> Held {
        Held { begin, octets: Vec::new(), end: false, since: now }
    }

    /// Octets of the direction before what is held.
    pub(super) fn begin(&self) -> u64 {
        self.begin
    }

    /// Octets of memory that it takes beside itself.
    pub(super) fn memory(&self) -> usize {
        self.octets.capacity()
    }

    /// Octets of the direction up to the end of what is held.
    pub(super) fn end(&self) -> u64 {
        self.begin.saturating_add(self.octets.len() as u64)
    }

    /// Since when the first of them are held.
    pub(super) fn since(&self) -> Timestamp {
        self.since
    }

    /// Takes octets that begin at an offset of the direction.
    pub(super) fn take(&mut self, offset: u64, octets: &[u8], end: bool, most: usize) -> Taken {
        let Some(known) = self.end().checked_sub(offset) else { return Taken::Known };
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let new = octets.get(known..).unwrap_or_default();
        if self.octets.len().saturating_add(new.len()) > most {
            return Taken::TooMany;
        }
        let ends = end && known <= octets.len() && !self.end;
        if new.is_empty() && !ends {
            return Taken::Known;
        }
        self.octets.extend_from_slice(new);
        self.end |= ends;
        Taken::Held
    }

    /// Gives up what lies before an offset; whether the end of the direction comes with it.
    pub(super) fn release(&mut self, up_to: u64, now: Timestamp) -> (Vec<u8>, bool) {
        let count = usize::try_from(up_to.saturating_sub(self.begin)).unwrap_or(usize::MAX).min(self.octets.len());
        let rest = self.octets.split_off(count);
        let released = std::mem::replace(&mut self.octets, rest);
        self.begin = self.begin.saturating_add(count as u64);
        // Where nothing is let go, what is held goes on waiting: its sender's repetitions give it no more time.
        if count > 0 {
            self.since = now;
        }
        (released, self.octets.is_empty() && std::mem::take(&mut self.end))
    }

    /// Whether nothing is held any more.
    pub(super) fn is_empty(&self) -> bool {
        self.octets.is_empty() && !self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(0);

    #[test]
    fn what_follows_is_held_once_and_released_in_order() {
        let mut held = Held::new(100, NOW);
        assert_eq!(held.take(100, b"abc", false, 64), Taken::Held);
        assert_eq!(held.take(100, b"abc", false, 64), Taken::Known, "a retransmission");
        assert_eq!(held.take(101, b"bcde", true, 64), Taken::Held, "one that brings more");
        assert_eq!(held.take(110, b"zz", false, 64), Taken::Known, "what does not follow comes again");
        assert_eq!((held.begin(), held.end()), (100, 105));
        assert_eq!(held.release(102, Timestamp(5)), (b"ab".to_vec(), false));
        assert_eq!(held.release(102, Timestamp(9)), (Vec::new(), false));
        assert_eq!(held.since(), Timestamp(5), "only what is let go gives the rest more time");
        assert_eq!(held.release(u64::MAX, NOW), (b"cde".to_vec(), true));
        assert!(held.is_empty());
    }

    #[test]
    fn the_bound_holds() {
        let mut held = Held::new(0, NOW);
        assert_eq!(held.take(0, b"abcd", false, 4), Taken::Held);
        assert_eq!(held.take(4, b"e", false, 4), Taken::TooMany);
        assert_eq!(held.take(4, b"", true, 4), Taken::Held, "an end takes no room");
        assert_eq!(held.take(4, b"", true, 4), Taken::Known);
        assert_eq!(held.end(), 4);
    }
}
