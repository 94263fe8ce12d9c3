//! Segments that arrived before the bytes they follow.
//!
//! For [`Reassembly::Linux`] the queue keeps what a Linux receiver keeps (`tcp_data_queue_ofo` of its TCP input): runs of
//! segments in a tree by sequence number. A segment that begins where a run ends is joined to it; one that lies within a run is
//! dropped; one that covers runs replaces them; two runs that overlap in part are both held, and when they are read, the
//! bytes of the lower one count (T2). It is compared with those runs only that lie on its way down the tree, see `shape.rs`.
//! That one segment can be joined to another is up to the layout of memory there; with the drivers and the sizes that were
//! tried it always can.
//!
//! For the other readings overlaps are settled at once, so that the runs never overlap: each is one segment, cut to the bytes
//! that count.

use std::collections::VecDeque;

use smallvec::SmallVec;

use crate::half::Payload;
use crate::reassembly::{Reassembly, Winner};
use crate::shape::Shape;

/// What a held segment costs besides its bytes, in bytes: where each is a run of its own, the run and the segment with the
/// room that is reserved beyond them, and what the allocator adds.
const OVERHEAD: usize = 192;

/// The segments held in one direction.
#[derive(Debug)]
pub(crate) struct Queue {
    runs: VecDeque<Run>,
    /// The tree of a Linux receiver over the beginnings of the runs; empty for others.
    shape: Shape,
    segments: usize,
    bytes: usize,
}

impl Default for Queue {
    fn default() -> Queue {
        // Most queues never hold more than one run; the least that a vector grows to by itself is four.
        Queue { runs: VecDeque::with_capacity(1), shape: Shape::default(), segments: 0, bytes: 0 }
    }
}

/// Segments that follow each other without a hole: what Linux keeps as one.
#[derive(Debug)]
struct Run {
    start: u64,
    /// The offset after the last byte, a FIN counted as one.
    end: u64,
    /// Never empty.
    segments: VecDeque<Held>,
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
        self.start
            .saturating_add(self.bytes.len() as u64)
            .saturating_add(u64::from(self.missing))
            .saturating_add(u64::from(self.fin))
    }

    /// The part of a segment between two offsets, none of which lies outside of it.
    fn part(start: u64, payload: Payload<'_>, from: u64, to: u64) -> Held {
        let in_bytes = |offset: u64| {
            let offset = usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX);
            offset.min(payload.bytes.len())
        };
        let captured = start.saturating_add(payload.bytes.len() as u64);
        let last = captured.saturating_add(u64::from(payload.missing));
        let missing = to.min(last).saturating_sub(from.max(captured));
        Held {
            start: from,
            bytes: payload.bytes.get(in_bytes(from)..in_bytes(to)).unwrap_or_default().to_vec(),
            missing: u32::try_from(missing).unwrap_or(u32::MAX),
            fin: payload.fin && to > last,
        }
    }

    fn payload(&self) -> Payload<'_> {
        Payload { bytes: &self.bytes, missing: self.missing, fin: self.fin }
    }
}

impl Run {
    /// Joins a segment that begins where the run ends.
    ///
    /// Linux joins data to a waiting FIN as if that had no number: the bytes follow those before it, and the stream ends behind
    /// them.
    fn join(&mut self, mut held: Held, end: u64) {
        if let Some(last) = self.segments.back_mut().filter(|last| last.fin) {
            last.fin = false;
            held.start = held.start.saturating_sub(1);
            held.fin = true;
        }
        self.end = end;
        self.segments.push_back(held);
    }

    fn of(segment: Held) -> Run {
        Run { start: segment.start, end: segment.end(), segments: VecDeque::from([segment]) }
    }

    /// Whether a FIN follows the last byte.
    fn has_fin(&self) -> bool {
        self.segments.back().is_some_and(|last| last.fin)
    }

    /// What holding the run costs, in bytes.
    fn cost(&self) -> usize {
        self.segments.iter().map(|held| Queue::cost(held.bytes.len())).sum()
    }

    /// The first offset at which other bytes differ from those of the run.
    fn difference(&self, start: u64, bytes: &[u8]) -> Option<u64> {
        let end = start.saturating_add(bytes.len() as u64);
        let first = self.segments.partition_point(|held| held.end() <= start);
        self.segments
            .range(first..)
            .take_while(|held| held.start < end)
            .find_map(|held| difference(held.start, &held.bytes, start, bytes))
    }
}

/// What became of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inserted {
    /// Whether it is held; else it brought nothing new.
    pub(crate) held: bool,
    /// The first offset at which a segment that was dropped differs from the one that is held.
    pub(crate) difference: Option<u64>,
    /// Whether a FIN was dropped that lies elsewhere than the one that is held, if one is.
    pub(crate) fin_dropped: bool,
}

impl Queue {
    /// What holding so many bytes as one segment costs.
    pub(crate) fn cost(bytes: usize) -> usize {
        bytes.saturating_add(OVERHEAD)
    }

    /// Whether nothing is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// What holding a segment costs at most: what is held may cut it into parts, or it what is held.
    pub(crate) fn most_cost(&self, segment: Payload<'_>, start: u64, reassembly: Reassembly) -> usize {
        let cost = Queue::cost(segment.bytes.len());
        let parts = match reassembly.winner() {
            None => 0,
            Some(Winner::New | Winner::BeginsFirst) => 1,
            Some(Winner::Held) => {
                let end = start.saturating_add(segment.length());
                self.overlapped(start, end).len()
            }
        };
        cost.saturating_add(parts.saturating_mul(OVERHEAD))
    }

    /// The first offset at which held bytes differ from others.
    pub(crate) fn difference(&self, start: u64, bytes: &[u8]) -> Option<u64> {
        let end = start.saturating_add(bytes.len() as u64);
        self.runs.iter().take_while(|run| run.start < end).find_map(|run| run.difference(start, bytes))
    }

    /// The number of segments held.
    pub(crate) fn segments(&self) -> usize {
        self.segments
    }

    /// What the held segments cost, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The offset of the first held byte.
    pub(crate) fn start(&self) -> Option<u64> {
        self.runs.front().map(|run| run.start)
    }

    /// The offset after the last held byte, a FIN counted as one.
    pub(crate) fn end(&self) -> Option<u64> {
        self.runs.back().map(|run| run.end)
    }

    /// Takes the first segment out if it starts at the offset or before.
    pub(crate) fn pop_until(&mut self, offset: u64) -> Option<Held> {
        let run = self.runs.front_mut().filter(|run| run.start <= offset)?;
        // All of a run is taken out together: it has left the tree with its first segment.
        self.shape.remove(run.start);
        let held = run.segments.pop_front()?;
        match run.segments.front() {
            Some(next) => run.start = next.start,
            None => {
                self.runs.pop_front();
            }
        }
        self.segments = self.segments.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(Queue::cost(held.bytes.len()));
        Some(held)
    }

    /// Holds a segment, as far as the receiver would.
    pub(crate) fn insert(&mut self, segment: Payload<'_>, start: u64, reassembly: Reassembly) -> Inserted {
        match reassembly.winner() {
            None => self.insert_as_linux(segment, start),
            Some(winner) => self.insert_parts(segment, start, winner),
        }
    }

    /// Holds the parts of a segment that count, and cuts what is held to what still does. No runs overlap.
    fn insert_parts(&mut self, segment: Payload<'_>, start: u64, winner: Winner) -> Inserted {
        let end = start.saturating_add(segment.length()).saturating_add(u64::from(segment.fin));
        let overlapped = self.overlapped(start, end);
        let mut inserted = Inserted { difference: self.difference(start, segment.bytes), ..Inserted::default() };
        let held_fin = self.runs.range(overlapped.clone()).rev().find(|run| run.has_fin()).map(|run| run.end);
        let mut position = overlapped.start;
        let mut from = start;
        for _ in overlapped {
            let Some(run) = self.runs.get(position) else { break };
            let (run_start, run_end) = (run.start, run.end);
            let held_wins = match winner {
                Winner::Held => true,
                Winner::New => false,
                Winner::BeginsFirst => run_start <= start,
            };
            if held_wins {
                if from < run_start {
                    self.add(position, Held::part(start, segment, from, run_start));
                    inserted.held = true;
                    position = position.saturating_add(1);
                }
                from = from.max(run_end);
                position = position.saturating_add(1);
                continue;
            }
            let Some(old) = self.take(position) else { break };
            if run_start < start {
                self.add(position, Held::part(run_start, old.payload(), run_start, start));
                position = position.saturating_add(1);
            }
            if run_end > end {
                self.add(position, Held::part(run_start, old.payload(), end, run_end));
            }
        }
        if from < end {
            self.add(position, Held::part(start, segment, from, end));
            inserted.held = true;
        }
        let fin_is_held = |at: u64| self.runs.iter().any(|run| run.has_fin() && run.end == at);
        inserted.fin_dropped =
            (segment.fin && !fin_is_held(end)) || held_fin.is_some_and(|held_fin| !fin_is_held(held_fin));
        inserted
    }

    /// The runs that have something between two offsets, where none overlap each other.
    fn overlapped(&self, start: u64, end: u64) -> std::ops::Range<usize> {
        let first = self.runs.partition_point(|run| run.end <= start);
        let last = self.runs.partition_point(|run| run.start < end);
        first..last.max(first)
    }

    fn add(&mut self, position: usize, held: Held) {
        self.segments = self.segments.saturating_add(1);
        self.bytes = self.bytes.saturating_add(Queue::cost(held.bytes.len()));
        self.runs.insert(position.min(self.runs.len()), Run::of(held));
    }

    /// Takes a run out, and gives its first segment.
    fn take(&mut self, position: usize) -> Option<Held> {
        let mut run = self.runs.remove(position)?;
        self.segments = self.segments.saturating_sub(run.segments.len());
        self.bytes = self.bytes.saturating_sub(run.cost());
        run.segments.pop_front()
    }

    /// Does what `tcp_data_queue_ofo` does, along the way that it takes through its tree.
    fn insert_as_linux(&mut self, segment: Payload<'_>, start: u64) -> Inserted {
        let mut inserted = Inserted::default();
        let bytes = segment.bytes;
        let held = Held { start, bytes: Vec::new(), missing: segment.missing, fin: segment.fin };
        let end = held.end().saturating_add(bytes.len() as u64);
        let mut joins = None;
        let mut replaces = false;
        match self.runs.back() {
            Some(last) if last.end == start => joins = self.runs.len().checked_sub(1),
            // Behind all others it looks at none of them.
            Some(last) if start > last.end => {}
            _ => {
                let mut way = self.shape.way();
                while let Some(position) = self.shape.at(way).and_then(|key| self.position_of(key))
                    && let Some(run) = self.runs.get(position)
                {
                    if start >= run.start && start < run.end {
                        if end <= run.end {
                            inserted.difference = run.difference(start, bytes);
                            inserted.fin_dropped = segment.fin && !(run.end == end && run.has_fin());
                            return inserted;
                        }
                        if start == run.start {
                            replaces = true;
                            inserted.difference = run.difference(start, bytes);
                            inserted.fin_dropped = run.has_fin();
                            break;
                        }
                    } else if start == run.end {
                        joins = Some(position);
                        break;
                    }
                    way = self.shape.down(way, start < run.start);
                }
            }
        }
        let held = Held { bytes: bytes.to_vec(), ..held };
        inserted.held = true;
        if let Some(run) = joins.and_then(|position| self.runs.get_mut(position)) {
            self.segments = self.segments.saturating_add(1);
            self.bytes = self.bytes.saturating_add(Queue::cost(bytes.len()));
            run.join(held, end);
            return inserted;
        }
        let mut position = self.runs.partition_point(|run| run.start < start);
        if replaces {
            // Another takes its place in the tree.
            self.take(position);
        } else {
            self.shape.insert(start);
        }
        self.add(position, held);
        position = position.saturating_add(1);
        while let Some(run) = self.runs.get(position)
            && run.end <= end
        {
            inserted.difference = inserted.difference.or_else(|| run.difference(start, bytes));
            inserted.fin_dropped |= run.has_fin() && !(run.end == end && segment.fin);
            self.shape.remove(run.start);
            self.take(position);
        }
        inserted
    }

    /// The parts of a range in which nothing is held, in order.
    pub(crate) fn holes(&self, start: u64, end: u64) -> SmallVec<[(u64, u64); 4]> {
        let mut holes = SmallVec::new();
        let mut at = start;
        for run in self.runs.range(self.first_behind(start)..).take_while(|run| run.start < end) {
            if run.start > at {
                holes.push((at, run.start));
            }
            at = at.max(run.end);
        }
        if at < end {
            holes.push((at, end));
        }
        holes
    }

    /// Gives what is held in a range, and where, to a visitor. Where segments overlap, the one that would be read comes last.
    pub(crate) fn visit(&self, start: u64, end: u64, visitor: &mut dyn FnMut(u64, &[u8])) {
        let runs = self.runs.range(self.first_behind(start)..).take_while(|run| run.start < end);
        let segments = runs.flat_map(|run| &run.segments).filter(|held| held.start < end && held.end() > start);
        segments.for_each(|held| visitor(held.start, &held.bytes));
    }

    /// The first run that ends behind an offset.
    fn first_behind(&self, offset: u64) -> usize {
        self.runs.partition_point(|run| run.end <= offset)
    }

    /// Where the run lies that begins at an offset.
    fn position_of(&self, start: u64) -> Option<usize> {
        let position = self.runs.partition_point(|run| run.start < start);
        self.runs.get(position).is_some_and(|run| run.start == start).then_some(position)
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

    fn insert(queue: &mut Queue, start: u64, text: &str, fin: bool) -> Inserted {
        insert_as(Reassembly::Linux, queue, start, text, fin)
    }

    fn insert_as(reassembly: Reassembly, queue: &mut Queue, start: u64, text: &str, fin: bool) -> Inserted {
        let payload = Payload { bytes: text.as_bytes(), missing: 0, fin };
        let before = queue.bytes();
        let most = queue.most_cost(payload, start, reassembly);
        let inserted = queue.insert(payload, start, reassembly);
        assert!(queue.bytes() <= before + most, "{reassembly}: {} > {before} + {most}", queue.bytes());
        inserted
    }

    fn queue(segments: &[(u64, &str)]) -> (Queue, Vec<Option<u64>>) {
        let mut queue = Queue::default();
        let differences =
            segments.iter().map(|(start, text)| insert(&mut queue, *start, text, false).difference).collect();
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
    }

    #[test]
    fn a_segment_that_begins_where_a_run_ends_belongs_to_it() {
        // As one run, the first two are not covered by the third, but overlap it in part.
        let (mut q, differences) = queue(&[(10, "aaaa"), (14, "bbbb"), (14, "CCCCCC")]);
        assert_eq!(read(&mut q), "aaaabbbbCC");
        assert_eq!(differences, [None; 3], "it shows when it is read");
        // The other way around they are two, and the second is covered.
        let (mut q, differences) = queue(&[(14, "bbbb"), (10, "aaaa"), (14, "CCCCCC")]);
        assert_eq!(read(&mut q), "aaaaCCCCCC");
        assert_eq!(differences, [None, None, Some(14)]);
        let (mut q, differences) = queue(&[(10, "aa"), (12, "bb"), (14, "cc"), (11, "abbX")]);
        assert_eq!((q.segments(), differences[3]), (3, Some(14)));
        assert_eq!(read(&mut q), "aabbcc");
    }

    #[test]
    fn a_fin_counts_as_a_byte() {
        let mut q = Queue::default();
        assert!(insert(&mut q, 5, "", true).held);
        assert!(!insert(&mut q, 5, "", true).held);
        assert!(insert(&mut q, 3, "ab", false).held);
        assert_eq!(read(&mut q), "ab$");
        let mut q = Queue::default();
        insert(&mut q, 3, "ab", false);
        assert!(insert(&mut q, 3, "ab", true).held, "covers it by the FIN");
        assert_eq!(read(&mut q), "ab$");
    }

    #[test]
    fn a_fin_that_is_dropped_is_noticed_unless_it_is_the_held_one() {
        let mut q = Queue::default();
        assert!(!insert(&mut q, 3, "abcd", false).fin_dropped);
        assert!(insert(&mut q, 4, "b", true).fin_dropped, "within a run without one");
        assert!(!insert(&mut q, 5, "cd", true).fin_dropped, "held: it is beyond the run");
        assert!(!insert(&mut q, 6, "d", true).fin_dropped, "the same again");
        assert!(insert(&mut q, 2, "xabcdefg", false).fin_dropped, "covered");
        assert_eq!(read(&mut q), "xabcdefg");
    }

    /// The patterns of Novak and Sturges for two segments, and four for three: what is read by Linux, Windows, BSD, by who takes
    /// the first and by who takes the last. The first segments are `a`, then `b`, then `C`.
    #[test]
    fn each_receiver_keeps_what_the_literature_says() {
        type Pattern = (&'static str, &'static [(u64, &'static str)], [&'static str; 5]);
        let patterns: &[Pattern] = &[
            (
                "begins before, ends before",
                &[(12, "aaaa"), (10, "CCCC")],
                ["CCCCaa", "CCaaaa", "CCCCaa", "CCaaaa", "CCCCaa"],
            ),
            ("begins before, ends equal", &[(12, "aa"), (10, "CCCC")], ["CCCC", "CCaa", "CCCC", "CCaa", "CCCC"]),
            (
                "begins before, ends after",
                &[(12, "aa"), (10, "CCCCCC")],
                ["CCCCCC", "CCaaCC", "CCCCCC", "CCaaCC", "CCCCCC"],
            ),
            ("begins equal, ends before", &[(10, "aaaa"), (10, "CC")], ["aaaa", "aaaa", "aaaa", "aaaa", "CCaa"]),
            ("begins equal, ends equal", &[(10, "aaaa"), (10, "CCCC")], ["aaaa", "aaaa", "aaaa", "aaaa", "CCCC"]),
            ("begins equal, ends after", &[(10, "aa"), (10, "CCCC")], ["CCCC", "aaCC", "aaCC", "aaCC", "CCCC"]),
            (
                "begins after, ends before",
                &[(10, "aaaaaa"), (12, "CC")],
                ["aaaaaa", "aaaaaa", "aaaaaa", "aaaaaa", "aaCCaa"],
            ),
            ("begins after, ends equal", &[(10, "aaaa"), (12, "CC")], ["aaaa", "aaaa", "aaaa", "aaaa", "aaCC"]),
            (
                "begins after, ends after",
                &[(10, "aaaa"), (12, "CCCC")],
                ["aaaaCC", "aaaaCC", "aaaaCC", "aaaaCC", "aaCCCC"],
            ),
            (
                "fills a hole over both edges",
                &[(10, "aaa"), (15, "bbb"), (12, "CCCC")],
                ["aaaCCCbb", "aaaCCbbb", "aaaCCCbb", "aaaCCbbb", "aaCCCCbb"],
            ),
            (
                "covers two and more",
                &[(11, "aa"), (14, "bb"), (10, "CCCCCCC")],
                ["CCCCCCC", "CaaCbbC", "CCCCCCC", "CaaCbbC", "CCCCCCC"],
            ),
            (
                "lies within two that touch",
                &[(10, "aaa"), (13, "bbb"), (12, "CC")],
                ["aaabbb", "aaabbb", "aaaCbb", "aaabbb", "aaCCbb"],
            ),
        ];
        for (name, segments, expected) in patterns {
            for (reassembly, expected) in Reassembly::ALL.into_iter().zip(expected) {
                // BSD compares with what is left of a segment; the last pattern has a new one that begins before `b`.
                let mut queue = Queue::default();
                let mut differences = Vec::new();
                for (start, text) in *segments {
                    differences.push(insert_as(reassembly, &mut queue, *start, text, false).difference);
                }
                let end = queue.end().unwrap();
                assert!(segments.iter().all(|(start, text)| start + text.len() as u64 <= end));
                assert_eq!(read(&mut queue), *expected, "{reassembly}, {name}");
                if reassembly.winner().is_some() {
                    assert!(differences.last().unwrap().is_some(), "{reassembly}, {name}");
                }
            }
        }
    }

    /// What the readings mean, said byte by byte with no cleverness at all.
    fn model(reassembly: Reassembly, segments: &[(u64, String)]) -> String {
        let mut bytes: std::collections::BTreeMap<u64, (usize, u8)> = Default::default();
        for (serial, (start, text)) in segments.iter().enumerate() {
            // Of what BSD holds, a front may have been cut off: it begins where its bytes begin.
            let before = bytes.clone();
            let run_start = |mut at: u64| {
                let owner = before.get(&at).map(|(owner, _)| *owner);
                while at > 0 && before.get(&(at - 1)).map(|(owner, _)| *owner) == owner {
                    at -= 1;
                }
                at
            };
            for (i, byte) in text.bytes().enumerate() {
                let at = start + i as u64;
                let wins = match reassembly.winner().unwrap() {
                    Winner::Held => !before.contains_key(&at),
                    Winner::New => true,
                    Winner::BeginsFirst => !before.contains_key(&at) || *start < run_start(at),
                };
                if wins {
                    bytes.insert(at, (serial, byte));
                }
            }
        }
        let first = *bytes.keys().next().unwrap();
        let last = *bytes.keys().next_back().unwrap();
        (first..=last).map(|at| bytes.get(&at).map_or('.', |(_, byte)| *byte as char)).collect()
    }

    #[test]
    fn readings_by_byte_agree_with_a_plain_model() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..5_000 {
            let segments: Vec<(u64, String)> = (0..2 + random(6))
                .map(|i| (10 + random(12), char::from(b'a' + i as u8).to_string().repeat(1 + random(8) as usize)))
                .collect();
            for reassembly in [Reassembly::Windows, Reassembly::Bsd, Reassembly::First, Reassembly::Last] {
                let mut queue = Queue::default();
                for (start, text) in &segments {
                    insert_as(reassembly, &mut queue, *start, text, false);
                }
                let runs: Vec<(u64, u64)> = queue.runs.iter().map(|run| (run.start, run.end)).collect();
                assert!(runs.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{reassembly}: {runs:?} overlap");
                assert_eq!(read(&mut queue), model(reassembly, &segments), "{reassembly}: {segments:?}");
            }
        }
    }

    #[test]
    fn a_fin_is_the_byte_behind_the_last_one_for_all() {
        for reassembly in [Reassembly::Windows, Reassembly::Bsd, Reassembly::First] {
            let mut q = Queue::default();
            insert_as(reassembly, &mut q, 10, "aa", true);
            let inserted = insert_as(reassembly, &mut q, 11, "CCCC", false);
            assert!(!inserted.fin_dropped, "{reassembly}: it stays");
            assert_eq!(read(&mut q), "aa$.CC", "{reassembly}");
            let inserted = insert_as(reassembly, &mut q, 10, "aaaa", false);
            assert!(inserted.held && !inserted.fin_dropped);
            assert!(insert_as(reassembly, &mut q, 11, "C", true).fin_dropped, "{reassembly}: there is data");
        }
        let mut q = Queue::default();
        insert_as(Reassembly::Last, &mut q, 10, "aa", true);
        assert!(insert_as(Reassembly::Last, &mut q, 11, "CCCC", false).fin_dropped);
        assert_eq!(read(&mut q), "aCCCC");
    }

    #[test]
    fn parts_keep_what_the_capture_cut_off_where_it_was() {
        let mut q = Queue::default();
        q.insert(Payload { bytes: b"aa", missing: 0, fin: false }, 14, Reassembly::First);
        q.insert(Payload { bytes: b"CCC", missing: 7, fin: true }, 10, Reassembly::First);
        let parts: Vec<(u64, usize, u32, bool)> = std::iter::from_fn(|| q.pop_until(u64::MAX))
            .map(|held| (held.start, held.bytes.len(), held.missing, held.fin))
            .collect();
        assert_eq!(parts, [(10, 3, 1, false), (14, 2, 0, false), (16, 0, 4, true)]);
    }
}
