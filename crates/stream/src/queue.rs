//! Segments that arrived before the bytes they follow.
//!
//! The queue keeps what a Linux receiver keeps (`tcp_data_queue_ofo` of its TCP input): segments
//! ordered by sequence number, none of which contains another. A segment that lies within a
//! held one is dropped; one that covers held ones replaces them; two that overlap in part are
//! both held, and when they are read, the bytes of the lower one count (T2).

use std::collections::VecDeque;

/// What a held segment costs besides its bytes, in bytes.
const OVERHEAD: usize = 64;

/// The segments held in one direction.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    segments: VecDeque<Held>,
    bytes: usize,
}

/// A segment that is held. The offsets are those of the stream.
#[derive(Debug)]
pub(crate) struct Held {
    /// The offset of the first byte.
    pub(crate) start: u64,
    /// The bytes that were captured.
    pub(crate) bytes: Vec<u8>,
    /// How many bytes after these the capture cut off.
    pub(crate) missing: u32,
    /// Whether a FIN follows.
    pub(crate) fin: bool,
}

impl Held {
    /// The offset after the last byte, a FIN counted as one.
    pub(crate) fn end(&self) -> u64 {
        end(self.start, self.bytes.len(), self.missing, self.fin)
    }
}

/// What became of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inserted {
    /// Whether it is held; else it brought nothing new.
    pub(crate) held: bool,
    /// The first offset at which a segment that was dropped differs from the one that is held.
    pub(crate) difference: Option<u64>,
}

impl Queue {
    /// What holding so many bytes as one segment costs.
    pub(crate) fn cost(bytes: usize) -> usize {
        bytes.saturating_add(OVERHEAD)
    }

    /// Whether nothing is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The number of segments held.
    pub(crate) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// What the held segments cost, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The offset of the first held byte.
    pub(crate) fn start(&self) -> Option<u64> {
        self.segments.front().map(|held| held.start)
    }

    /// The offset after the last held byte, a FIN counted as one.
    pub(crate) fn end(&self) -> Option<u64> {
        self.segments.back().map(Held::end)
    }

    /// Takes the first segment out if it starts at the offset or before.
    pub(crate) fn pop_until(&mut self, offset: u64) -> Option<Held> {
        if self.start()? > offset {
            return None;
        }
        let held = self.segments.pop_front()?;
        self.bytes = self.bytes.saturating_sub(Queue::cost(held.bytes.len()));
        Some(held)
    }

    /// Holds a segment, as far as a Linux receiver would.
    pub(crate) fn insert(&mut self, start: u64, bytes: &[u8], missing: u32, fin: bool) -> Inserted {
        let mut inserted = Inserted::default();
        let end = end(start, bytes.len(), missing, fin);
        let mut position = match self.segments.back() {
            Some(last) if last.start > start => self.segments.partition_point(|held| held.start <= start),
            _ => self.segments.len(),
        };
        if let Some(before) = position.checked_sub(1).and_then(|at| self.segments.get(at))
            && before.end() > start
        {
            if before.end() >= end {
                inserted.difference = difference(before.start, &before.bytes, start, bytes);
                return inserted;
            }
            if before.start == start {
                inserted.difference = difference(before.start, &before.bytes, start, bytes);
                position -= 1;
                self.remove(position);
            }
        }
        while let Some(after) = self.segments.get(position)
            && after.end() <= end
        {
            let found = difference(after.start, &after.bytes, start, bytes);
            inserted.difference = inserted.difference.or(found);
            self.remove(position);
        }
        self.bytes = self.bytes.saturating_add(Queue::cost(bytes.len()));
        self.segments.insert(position, Held { start, bytes: bytes.to_vec(), missing, fin });
        inserted.held = true;
        inserted
    }

    fn remove(&mut self, position: usize) {
        if let Some(held) = self.segments.remove(position) {
            self.bytes = self.bytes.saturating_sub(Queue::cost(held.bytes.len()));
        }
    }
}

/// The first offset at which two runs of bytes differ where both have bytes.
pub(crate) fn difference(a_start: u64, a: &[u8], b_start: u64, b: &[u8]) -> Option<u64> {
    let from = a_start.max(b_start);
    let a = a.get(usize::try_from(from - a_start).ok()?..)?;
    let b = b.get(usize::try_from(from - b_start).ok()?..)?;
    let length = a.len().min(b.len());
    if a.get(..length) == b.get(..length) {
        return None;
    }
    let at = a.iter().zip(b).position(|(a, b)| a != b)?;
    Some(from + at as u64)
}

fn end(start: u64, length: usize, missing: u32, fin: bool) -> u64 {
    start.saturating_add(length as u64).saturating_add(u64::from(missing)).saturating_add(u64::from(fin))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader finds from the first held byte on, with dots for holes.
    fn read(queue: &mut Queue) -> String {
        let mut text = String::new();
        let mut offset = queue.start().unwrap();
        while let Some(held) = queue.pop_until(u64::MAX) {
            while offset < held.start {
                text.push('.');
                offset += 1;
            }
            let skip = (offset - held.start) as usize;
            if let Some(bytes) = held.bytes.get(skip..) {
                text.push_str(std::str::from_utf8(bytes).unwrap());
                offset += bytes.len() as u64;
            }
            if held.fin {
                text.push('$');
            }
        }
        assert_eq!(queue.bytes(), 0);
        text
    }

    fn queue(segments: &[(u64, &str)]) -> (Queue, Vec<Option<u64>>) {
        let mut queue = Queue::default();
        let differences =
            segments.iter().map(|(start, text)| queue.insert(*start, text.as_bytes(), 0, false).difference).collect();
        (queue, differences)
    }

    #[test]
    fn segments_are_read_in_order_however_they_came() {
        let (mut q, differences) = queue(&[(9, "de"), (3, "ab"), (5, "c"), (3, "ab"), (20, "z")]);
        assert_eq!(q.segments(), 4);
        assert_eq!(q.end(), Some(21));
        assert_eq!(read(&mut q), "abc...de.........z");
        assert_eq!(differences, [None; 5]);
    }

    #[test]
    fn a_segment_within_a_held_one_is_dropped() {
        for (start, text, differs) in
            [(10, "AAAA", Some(10)), (10, "aA", Some(11)), (11, "BB", Some(11)), (12, "aa", None)]
        {
            let (mut q, differences) = queue(&[(10, "aaaa"), (start, text)]);
            assert_eq!(read(&mut q), "aaaa");
            assert_eq!(differences, [None, differs], "{start} {text}");
        }
    }

    #[test]
    fn a_segment_that_covers_held_ones_replaces_them() {
        let (mut q, differences) = queue(&[(10, "aa"), (14, "aa"), (9, "BBBBBBBB")]);
        assert_eq!(q.segments(), 1);
        assert_eq!(read(&mut q), "BBBBBBBB");
        assert_eq!(differences, [None, None, Some(10)]);
        let (mut q, _) = queue(&[(10, "aa"), (10, "BBB")]);
        assert_eq!(read(&mut q), "BBB");
    }

    #[test]
    fn of_two_that_overlap_in_part_the_lower_one_is_read() {
        let (mut q, _) = queue(&[(10, "aaaa"), (12, "BBBB")]);
        assert_eq!(read(&mut q), "aaaaBB");
        let (mut q, _) = queue(&[(10, "aaaa"), (8, "BBBB")]);
        assert_eq!(read(&mut q), "BBBBaa");
        let (mut q, _) = queue(&[(10, "aaaa"), (14, "bbbb"), (12, "CCCC")]);
        assert_eq!(read(&mut q), "aaaaCCbb");
    }

    #[test]
    fn a_fin_counts_as_a_byte() {
        let mut q = Queue::default();
        assert!(q.insert(5, b"", 0, true).held);
        assert!(!q.insert(5, b"", 0, true).held);
        assert!(q.insert(3, b"ab", 0, false).held);
        assert_eq!(read(&mut q), "ab$");
        let mut q = Queue::default();
        q.insert(3, b"ab", 0, false);
        assert!(q.insert(3, b"ab", 0, true).held, "covers it by the FIN");
        assert_eq!(read(&mut q), "ab$");
    }
}
