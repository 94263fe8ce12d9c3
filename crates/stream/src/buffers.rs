//! The account of all buffered bytes of a table, and the buffers that flows hand back.

use std::collections::VecDeque;

/// How many bytes of spare buffers are kept for the next flow that needs one.
const SPARES: usize = 16 << 20;

/// Which part of the memory that is left one direction of a flow may take where there is little.
const GREEDY_FLOWS: usize = 256;

/// The smallest buffer, in bytes: two full segments of an Ethernet.
const SMALLEST: usize = 4096;

/// The account of buffered bytes, bounded by [`Limits::memory`](crate::Limits::memory).
#[derive(Debug)]
pub(crate) struct Buffers {
    held: usize,
    limit: usize,
    spares: Vec<VecDeque<u8>>,
    spare_bytes: usize,
    refused_copies: u64,
}

impl Buffers {
    /// Creates an empty account with a bound in bytes.
    pub(crate) fn new(limit: usize) -> Buffers {
        Buffers { held: 0, limit, spares: Vec::new(), spare_bytes: 0, refused_copies: 0 }
    }

    /// The bytes held now.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// How often bytes were not kept for comparison because the memory was used up.
    pub(crate) fn refused_copies(&self) -> u64 {
        self.refused_copies
    }

    /// Takes bytes into the account, unless that would exceed the bound.
    pub(crate) fn reserve(&mut self, bytes: usize) -> bool {
        while self.held.saturating_add(bytes) > self.limit {
            let Some(spare) = self.take_spare() else {
                return false;
            };
            self.release(spare.capacity());
        }
        self.held += bytes;
        true
    }

    /// Gives bytes of the account back.
    pub(crate) fn release(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
    }

    /// Appends bytes to a copy of what was delivered, of which at most the last `most` are kept.
    ///
    /// Copies may use half of the memory; beyond that, the copy is given up.
    pub(crate) fn keep(&mut self, kept: &mut VecDeque<u8>, bytes: &[u8], most: usize) {
        let bytes = bytes.get(bytes.len().saturating_sub(most)..).unwrap_or_default();
        let length = kept.len() + bytes.len();
        if length > most {
            kept.drain(..(length - most).min(kept.len()));
        }
        let length = kept.len() + bytes.len();
        if length > kept.capacity() && !self.grow(kept, length, most) {
            self.refused_copies += 1;
            self.hand_back(kept);
            return;
        }
        kept.extend(bytes);
    }

    /// Appends bytes to a copy of what was delivered, of which nothing may be lost; whether that is possible within `most`
    /// bytes and half of the memory. If it is not, nothing changes.
    pub(crate) fn try_keep(&mut self, kept: &mut VecDeque<u8>, bytes: &[u8], most: usize) -> bool {
        let length = kept.len().saturating_add(bytes.len());
        if length > most || (length > kept.capacity() && !self.grow(kept, length, most)) {
            self.refused_copies += 1;
            return false;
        }
        kept.extend(bytes);
        true
    }

    /// How many bytes one direction of a flow may hold for a normaliser: what it asks for as long as half of what there is for
    /// all is free, and then a small part of what is left, so that it takes thousands of greedy flows to leave nothing.
    pub(crate) fn share(&self) -> usize {
        self.share_of(self.limit / 2).max(SMALLEST)
    }

    /// The same for what waits behind holes: an eighth of the memory is left for what comes in its order.
    pub(crate) fn share_out_of_order(&self) -> usize {
        self.share_of(self.limit / 8 * 3)
    }

    fn share_of(&self, budget: usize) -> usize {
        let in_use = self.held.saturating_sub(self.spare_bytes);
        let free = budget.saturating_sub(in_use);
        free.saturating_sub(budget / 2).max(free / GREEDY_FLOWS)
    }

    /// Drops all but the last bytes of a copy.
    pub(crate) fn trim(&mut self, kept: &mut VecDeque<u8>, remaining: usize) {
        if remaining == 0 {
            self.hand_back(kept);
        } else if remaining < kept.len() {
            kept.drain(..kept.len() - remaining);
        }
    }

    /// Takes a buffer back, to be used again.
    pub(crate) fn hand_back(&mut self, kept: &mut VecDeque<u8>) {
        let capacity = kept.capacity();
        if capacity == 0 {
            return;
        }
        kept.clear();
        if self.spare_bytes.saturating_add(capacity) <= SPARES {
            self.spare_bytes += capacity;
            self.spares.push(std::mem::take(kept));
        } else {
            *kept = VecDeque::new();
            self.release(capacity);
        }
    }

    /// Frees the spare buffers.
    pub(crate) fn drop_spares(&mut self) {
        while let Some(spare) = self.take_spare() {
            self.release(spare.capacity());
        }
    }

    fn take_spare(&mut self) -> Option<VecDeque<u8>> {
        let spare = self.spares.pop()?;
        self.spare_bytes = self.spare_bytes.saturating_sub(spare.capacity());
        Some(spare)
    }

    fn grow(&mut self, kept: &mut VecDeque<u8>, length: usize, most: usize) -> bool {
        if kept.capacity() == 0
            && let Some(spare) = self.take_spare()
        {
            *kept = spare;
            if length <= kept.capacity() {
                return true;
            }
        }
        let before = kept.capacity();
        let wanted = length.next_power_of_two().max(SMALLEST).min(most.max(length));
        let more = wanted.saturating_sub(before);
        if self.held.saturating_add(more) > self.limit / 2 {
            return false;
        }
        kept.reserve_exact(wanted.saturating_sub(kept.len()));
        self.held += kept.capacity().saturating_sub(before);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_the_tail_and_buffers_come_back() {
        let mut buffers = Buffers::new(1 << 20);
        let mut kept = VecDeque::new();
        buffers.keep(&mut kept, b"abcdef", 8);
        buffers.keep(&mut kept, b"ghij", 8);
        assert_eq!(kept, b"cdefghij");
        buffers.keep(&mut kept, b"0123456789", 8);
        assert_eq!(kept, b"23456789");
        buffers.trim(&mut kept, 3);
        assert_eq!(kept, b"789");
        let held = buffers.held();
        assert!(held >= 8);
        buffers.trim(&mut kept, 0);
        assert_eq!((kept.len(), kept.capacity()), (0, 0));
        let mut other = VecDeque::new();
        buffers.keep(&mut other, b"x", 8);
        assert_eq!(buffers.held(), held, "the spare was used");
        assert!(buffers.reserve((1 << 20) - held));
        assert!(!buffers.reserve(1));
    }

    #[test]
    fn copies_are_given_up_at_half_the_memory_and_spares_before_anything_else() {
        let mut buffers = Buffers::new(20_000);
        let mut one = VecDeque::new();
        let mut two = VecDeque::new();
        let mut three = VecDeque::new();
        buffers.keep(&mut one, &[1; 4096], 65_536);
        buffers.keep(&mut two, &[2; 4096], 65_536);
        buffers.keep(&mut three, &[3; 4096], 65_536);
        assert_eq!((three.len(), buffers.refused_copies()), (0, 1));
        assert_eq!(buffers.held(), 8192);
        buffers.keep(&mut two, &[2; 4096], 65_536);
        assert_eq!((two.len(), buffers.refused_copies()), (0, 2));
        assert!(buffers.reserve(15_000), "the spare of two is dropped");
        assert_eq!(buffers.held(), 19_096);
    }
}
