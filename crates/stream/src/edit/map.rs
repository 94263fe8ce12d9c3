//! Where the octets of a stream lie before and after its edits.

use std::collections::VecDeque;

/// An edit that was applied: `removed` octets of the original at `at` have become `inserted` ones of the result at `out`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Applied {
    at: u64,
    removed: u64,
    out: u64,
    inserted: u64,
}

impl Applied {
    fn end(&self) -> u64 {
        self.at.saturating_add(self.removed)
    }

    fn out_end(&self) -> u64 {
        self.out.saturating_add(self.inserted)
    }

    /// Where an offset of the original behind the edit lies, if no other edit is between.
    fn behind(&self, offset: u64) -> u64 {
        self.out_end().saturating_add(offset.saturating_sub(self.end()))
    }
}

/// The edits of a stream that somebody may still ask about, in order.
///
/// Offsets of the *original* are those of what the sender has sent; offsets of the *result* those of what leaves. Whoever
/// has to acknowledge something needs to know what is *done*: octets that were put in between two others belong to the one
/// before them, so that the sender repeats it, and us with it, until they have arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct Map {
    /// An offset of the original and the one of the result that it has become, before the first edit.
    start: (u64, u64),
    edits: VecDeque<Applied>,
}

impl Map {
    /// The map of a stream that is unchanged up to an offset.
    pub(super) fn new(offset: u64) -> Map {
        Map { start: (offset, offset), edits: VecDeque::new() }
    }

    /// Octets of memory that it takes beside itself.
    pub(super) fn memory(&self) -> usize {
        self.edits.capacity().saturating_mul(size_of::<Applied>())
    }

    /// The number of edits that are remembered.
    pub(super) fn len(&self) -> usize {
        self.edits.len()
    }

    /// Notes an edit behind all others.
    pub(super) fn push(&mut self, at: u64, removed: u64, out: u64, inserted: u64) {
        self.edits.push_back(Applied { at, removed, out, inserted });
    }

    /// Where that begins in the result which stands for an offset of the original: what was put in before it comes first,
    /// and of octets that were replaced, the whole replacement.
    pub(super) fn first(&self, offset: u64) -> u64 {
        let before = self.edits.partition_point(|edit| edit.at < offset);
        match before.checked_sub(1).and_then(|index| self.edits.get(index)) {
            Some(edit) if offset < edit.end() => edit.out,
            Some(edit) => edit.behind(offset),
            None => self.start.1.saturating_add(offset.saturating_sub(self.start.0)),
        }
    }

    /// Up to where the result must have arrived for everything before an offset of the original to be done, with what was
    /// put in between.
    pub(super) fn done(&self, offset: u64) -> u64 {
        let before = self.edits.partition_point(|edit| edit.at < offset || edit.end() == offset && edit.removed == 0);
        match before.checked_sub(1).and_then(|index| self.edits.get(index)) {
            Some(edit) if offset < edit.end() => edit.out_end(),
            Some(edit) => edit.behind(offset),
            None => self.start.1.saturating_add(offset.saturating_sub(self.start.0)),
        }
    }

    /// The greatest offset of the original before which everything is done when the result has arrived up to an offset: the
    /// inverse of [`Map::done`].
    pub(super) fn acknowledged(&self, out: u64) -> u64 {
        let arrived = self.edits.partition_point(|edit| edit.out_end() <= out);
        let (end, out_end) = match arrived.checked_sub(1).and_then(|index| self.edits.get(index)) {
            Some(edit) => (edit.end(), edit.out_end()),
            None => self.start,
        };
        let offset = end.saturating_add(out.saturating_sub(out_end));
        match self.edits.get(arrived) {
            Some(next) if next.removed > 0 => offset.min(next.at),
            Some(next) => offset.min(next.at.saturating_sub(1)),
            None => offset,
        }
    }

    /// The octets of the original that are wholly done when a range of the result has arrived; `None` if there are none.
    pub(super) fn selected(&self, start: u64, end: u64) -> Option<(u64, u64)> {
        let first = self.acknowledged(start);
        let first = if self.done(first) < start { first.saturating_add(1) } else { first };
        // Part of a replacement is none of it.
        let before = self.edits.partition_point(|edit| edit.at < first);
        let first = match before.checked_sub(1).and_then(|index| self.edits.get(index)) {
            Some(edit) if first < edit.end() => edit.end(),
            _ => first,
        };
        let last = self.acknowledged(end);
        (first < last).then_some((first, last))
    }

    /// Forgets edits of which nobody will ask any more, given how far both streams are done.
    pub(super) fn forget(&mut self, done: u64, out_done: u64) {
        while let Some(edit) = self.edits.front()
            && edit.end() <= done
            && edit.out_end() <= out_done
        {
            self.start = (edit.end(), edit.out_end());
            self.edits.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// "abcdefgh", of which "cd" became "XYZ", between "e" and "f" came "++", and "gh" were deleted.
    fn example() -> Map {
        let mut map = Map::new(0);
        map.push(2, 2, 2, 3);
        map.push(5, 0, 6, 2);
        map.push(6, 2, 9, 0);
        map
    }

    #[test]
    fn an_octet_is_done_with_what_was_put_in_behind_it() {
        // a b X Y Z e + + f
        let map = example();
        assert_eq!((0..=8).map(|offset| map.first(offset)).collect::<Vec<_>>(), [0, 1, 2, 2, 5, 6, 9, 9, 9]);
        assert_eq!((0..=8).map(|offset| map.done(offset)).collect::<Vec<_>>(), [0, 1, 2, 5, 5, 8, 9, 9, 9]);
        assert_eq!((0..=9).map(|out| map.acknowledged(out)).collect::<Vec<_>>(), [0, 1, 2, 2, 2, 4, 4, 4, 5, 8]);
    }

    #[test]
    fn what_is_selected_is_wholly_there() {
        let map = example();
        assert_eq!(map.selected(0, 2), Some((0, 2)));
        assert_eq!(map.selected(3, 6), None, "e is not done without what follows it, and the replacement is cut");
        assert_eq!(map.selected(2, 8), Some((2, 5)));
        assert_eq!(map.selected(6, 8), None);
        assert_eq!(map.selected(8, 9), Some((5, 8)), "the end that was deleted is done with what is before it");
    }

    #[test]
    fn what_is_put_in_at_the_very_beginning_has_no_octet_before_it() {
        let mut map = Map::new(0);
        map.push(0, 0, 0, 4);
        assert_eq!((map.first(0), map.done(0), map.acknowledged(3), map.acknowledged(4)), (0, 4, 0, 0));
        assert_eq!(map.acknowledged(5), 1);
    }

    proptest! {
        #[test]
        fn done_and_acknowledged_are_inverse(
            edits in prop::collection::vec((0_u64..5, 0_u64..4, 0_u64..5), 0..8),
            forgotten in 0_u64..40,
        ) {
            let mut map = Map::new(7);
            let (mut at, mut out) = (7, 7);
            for (gap, removed, inserted) in edits {
                // Two edits at one place are one insertion and one replacement in this order; more are put together here.
                if removed + inserted == 0 { continue; }
                let gap = gap + 1;
                at += gap;
                out += gap;
                map.push(at, removed, out, inserted);
                at += removed;
                out += inserted;
            }
            let (end, out_end) = (at + 10, out + 10);
            let before = map.clone();
            for arrived in 7..=out_end {
                let offset = map.acknowledged(arrived);
                prop_assert!(map.done(offset) <= arrived || offset == 7);
                prop_assert!(offset == end || map.done(offset + 1) > arrived);
                prop_assert!(map.first(offset) <= map.done(offset));
            }
            let arrived = 7 + forgotten.min(out_end - 7);
            let done = map.acknowledged(arrived);
            map.forget(done, arrived);
            for offset in done.max(map.start.0) + 1..=end {
                prop_assert_eq!(map.done(offset), before.done(offset));
                prop_assert_eq!(map.first(offset), before.first(offset));
            }
            for later in arrived..=out_end {
                prop_assert_eq!(map.acknowledged(later), before.acknowledged(later));
            }
        }
    }
}
