//! One datagram in fragments: which octets are there, and the whole made of them.

use crate::anomaly::{AnomalySet, WireAnomaly};
use crate::checksum::internet_checksum;
use crate::ip::{FragmentInfo, IpPacket};
use crate::ipv6;
use crate::limits::DATAGRAM;
use crate::overlaps::FragmentOverlaps;

/// What a fragment costs beside its octets: its entry in each list, doubled for their growth, and the allocator's share.
const FRAGMENT_COST: usize = 2 * size_of::<Piece>() + 2 * size_of::<Run>() + 16;

/// The fragments of one datagram, kept the way Linux keeps them (`inet_frag_queue_insert` in `net/ipv4/inet_fragment.c`)
/// unless another receiver is named.
#[derive(Debug, Default)]
pub(crate) struct Datagram {
    /// In the order of arrival; they never overlap.
    pieces: Vec<Piece>,
    /// In the order of their octets.
    runs: Vec<Run>,
    /// The IP header of the first fragment, for IPv6 with all extension headers up to that of the fragment.
    header: Option<Box<[u8]>>,
    payload_bytes: usize,
    /// The end of what is known of the payload; that of the whole once `last_is_in`.
    length: usize,
    last_is_in: bool,
}

/// What became of a fragment that did not spoil its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It lies in what is held.
    Duplicate,
    /// It lies in what is held, but says something else.
    DuplicateDiffers,
    /// It was kept.
    Held,
    /// It was kept, and nothing is missing any more.
    Last,
}

#[derive(Debug)]
struct Piece {
    start: usize,
    bytes: Box<[u8]>,
}

impl Piece {
    fn end(&self) -> usize {
        self.start.saturating_add(self.bytes.len())
    }
}

/// What is left of a range, before and behind another that meets it.
fn without((start, end): (usize, usize), (from, to): (usize, usize)) -> impl Iterator<Item = (usize, usize)> {
    [(start, end.min(from)), (start.max(to), end)].into_iter().filter(|(start, end)| start < end)
}

/// Fragments that came one after the other without a hole. A fragment within one run counts as a duplicate, one that reaches
/// out of a run as an overlap; where runs merely touch, a fragment over both is an overlap too.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: usize,
    end: usize,
}

impl Datagram {
    /// Takes a fragment in. An error means that the whole datagram is to be discarded.
    pub(crate) fn insert(
        &mut self,
        packet: &IpPacket<'_>,
        fragment: FragmentInfo,
        overlaps: FragmentOverlaps,
        most: usize,
        anomalies: &mut AnomalySet,
    ) -> Result<Inserted, WireAnomaly> {
        let start = fragment.offset_bytes as usize;
        let mut bytes = packet.payload;
        if fragment.more && !bytes.len().is_multiple_of(8) {
            // IPv4 only; the odd rest is cut off.
            bytes = bytes.get(..bytes.len() & !7).unwrap_or_default();
        }
        let end = start.saturating_add(bytes.len());
        // The header is checked exactly when all is there; this bounds what is held.
        if end > DATAGRAM {
            return Err(WireAnomaly::FragmentTooBig);
        }
        self.note_end(end, fragment.more)?;
        if bytes.is_empty() {
            return Err(WireAnomaly::FragmentLength);
        }
        if overlaps != FragmentOverlaps::Discard && !self.is_free(start, end) {
            return self.lay(start, bytes, packet, overlaps, most, anomalies);
        }
        match self.place(start, end)? {
            Place::Duplicate if self.holds(start, bytes) => return Ok(Inserted::Duplicate),
            Place::Duplicate => return Ok(Inserted::DuplicateDiffers),
            Place::Append => {
                if let Some(run) = self.runs.last_mut() {
                    run.end = end;
                }
            }
            Place::NewRun(position) => self.runs.insert(position, Run { start, end }),
        }
        if self.pieces.len() >= most {
            return Err(WireAnomaly::FragmentLimit);
        }
        self.pieces.push(Piece { start, bytes: bytes.into() });
        self.payload_bytes = self.payload_bytes.saturating_add(bytes.len());
        if start == 0 {
            self.header = Some(packet.header.into());
        }
        Ok(self.state())
    }

    fn state(&self) -> Inserted {
        let is_complete = self.last_is_in && self.header.is_some() && self.payload_bytes == self.length;
        if is_complete { Inserted::Last } else { Inserted::Held }
    }

    /// Takes a fragment in that covers what is held, for a receiver that keeps the one or the other.
    fn lay(
        &mut self,
        start: usize,
        bytes: &[u8],
        packet: &IpPacket<'_>,
        overlaps: FragmentOverlaps,
        most: usize,
        anomalies: &mut AnomalySet,
    ) -> Result<Inserted, WireAnomaly> {
        let end = start.saturating_add(bytes.len());
        let repeats = self.covers(start, end);
        if !self.holds(start, bytes) {
            anomalies.insert(WireAnomaly::FragmentDuplicateDiffers);
        } else if repeats {
            return Ok(Inserted::Duplicate);
        }
        anomalies.insert(WireAnomaly::FragmentOverlap);
        let keeps = |piece: &Piece| match overlaps {
            FragmentOverlaps::Discard | FragmentOverlaps::First => true,
            FragmentOverlaps::BeginsFirst => piece.start <= start,
            FragmentOverlaps::Last => false,
        };
        // What is held gives way, or the new one goes around it.
        let mut kept = Vec::with_capacity(self.pieces.len().saturating_add(2));
        let mut taken = vec![(start, end)];
        for piece in self.pieces.drain(..) {
            let piece_end = piece.end();
            if piece_end <= start || piece.start >= end {
                kept.push(piece);
            } else if keeps(&piece) {
                taken = taken.into_iter().flat_map(|part| without(part, (piece.start, piece_end))).collect();
                kept.push(piece);
            } else {
                for (from, to) in without((piece.start, piece_end), (start, end)) {
                    let part = piece.bytes.get(from - piece.start..to - piece.start).unwrap_or_default();
                    kept.push(Piece { start: from, bytes: part.into() });
                }
            }
        }
        for (from, to) in taken {
            let part = bytes.get(from - start..to - start).unwrap_or_default();
            kept.push(Piece { start: from, bytes: part.into() });
        }
        self.pieces = kept;
        self.payload_bytes = self.pieces.iter().map(|piece| piece.bytes.len()).sum();
        if self.pieces.len() > most {
            return Err(WireAnomaly::FragmentLimit);
        }
        // The header is that of the fragment whose octets stand behind it.
        if start == 0 && (self.header.is_none() || overlaps == FragmentOverlaps::Last) {
            self.header = Some(packet.header.into());
        }
        self.find_runs();
        Ok(self.state())
    }

    /// Whether nothing is held of a range.
    fn is_free(&self, start: usize, end: usize) -> bool {
        let position = self.runs.partition_point(|run| run.end <= start);
        self.runs.get(position).is_none_or(|run| end <= run.start)
    }

    /// Whether all of a range is held.
    fn covers(&self, start: usize, end: usize) -> bool {
        let covered = self.pieces.iter().map(|piece| piece.end().min(end).saturating_sub(piece.start.max(start)));
        covered.fold(0_usize, usize::saturating_add) == end.saturating_sub(start)
    }

    /// Notes again what is held without a hole.
    fn find_runs(&mut self) {
        let mut ranges: Vec<(usize, usize)> = self.pieces.iter().map(|piece| (piece.start, piece.end())).collect();
        ranges.sort_unstable();
        self.runs.clear();
        for (start, end) in ranges {
            match self.runs.last_mut() {
                Some(run) if run.end == start => run.end = end,
                _ => self.runs.push(Run { start, end }),
            }
        }
    }

    /// Makes the packet of its fragments, of which none may be missing. Gives the packet and how many fragments it had.
    pub(crate) fn reassemble(mut self) -> Result<(Vec<u8>, usize), WireAnomaly> {
        let header = self.header.take().unwrap_or_default();
        let fragments = self.pieces.len();
        self.pieces.sort_unstable_by_key(|piece| piece.start);
        let mut packet = match header.first().map(|octet| octet >> 4) {
            Some(6) => ipv6_header(&header, self.length),
            _ => ipv4_header(&header, self.length),
        }?;
        packet.reserve_exact(self.length);
        for piece in &self.pieces {
            packet.extend_from_slice(&piece.bytes);
        }
        Ok((packet, fragments))
    }

    /// The octets held, with their bookkeeping.
    pub(crate) fn cost(&self) -> usize {
        let header = self.header.as_ref().map_or(0, |header| header.len());
        self.payload_bytes.saturating_add(header).saturating_add(self.pieces.len() * FRAGMENT_COST)
    }

    /// How many fragments are held.
    pub(crate) fn fragments(&self) -> usize {
        self.pieces.len()
    }

    /// How many octets of payload are held.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    fn note_end(&mut self, end: usize, more: bool) -> Result<(), WireAnomaly> {
        if !more {
            if end < self.length || (self.last_is_in && end != self.length) {
                return Err(WireAnomaly::FragmentTwoEnds);
            }
            self.last_is_in = true;
            self.length = end;
        } else if end > self.length {
            if self.last_is_in {
                return Err(WireAnomaly::FragmentTwoEnds);
            }
            self.length = end;
        }
        Ok(())
    }

    fn place(&self, start: usize, end: usize) -> Result<Place, WireAnomaly> {
        let Some(last) = self.runs.last() else {
            return Ok(Place::NewRun(0));
        };
        if end > last.end {
            return match start {
                _ if start < last.end => Err(WireAnomaly::FragmentOverlap),
                _ if start == last.end => Ok(Place::Append),
                _ => Ok(Place::NewRun(self.runs.len())),
            };
        }
        let position = self.runs.partition_point(|run| run.end <= start);
        match self.runs.get(position) {
            Some(run) if end <= run.start => Ok(Place::NewRun(position)),
            Some(run) if start >= run.start && end <= run.end => Ok(Place::Duplicate),
            _ => Err(WireAnomaly::FragmentOverlap),
        }
    }

    /// Whether the same octets are held at that place.
    fn holds(&self, start: usize, bytes: &[u8]) -> bool {
        let end = start.saturating_add(bytes.len());
        self.pieces.iter().all(|piece| {
            let from = start.max(piece.start);
            let to = end.min(piece.start.saturating_add(piece.bytes.len()));
            from >= to || piece.bytes.get(from - piece.start..to - piece.start) == bytes.get(from - start..to - start)
        })
    }
}

enum Place {
    /// At the end of the last run.
    Append,
    /// Within a run.
    Duplicate,
    /// As a run of its own before that of this index.
    NewRun(usize),
}

fn ipv4_header(first: &[u8], payload_length: usize) -> Result<Vec<u8>, WireAnomaly> {
    const DONT_FRAGMENT: u8 = 0x40;
    let total = u16::try_from(first.len().saturating_add(payload_length)).map_err(|_| WireAnomaly::FragmentTooBig)?;
    let mut header = first.to_vec();
    if let Some(fixed) = header.first_chunk_mut::<20>() {
        [fixed[2], fixed[3]] = total.to_be_bytes();
        fixed[6] &= DONT_FRAGMENT;
        fixed[7] = 0;
        [fixed[10], fixed[11]] = [0, 0];
    }
    let checksum = internet_checksum(&header);
    if let Some(fixed) = header.first_chunk_mut::<20>() {
        [fixed[10], fixed[11]] = checksum.to_be_bytes();
    }
    Ok(header)
}

fn ipv6_header(first: &[u8], payload_length: usize) -> Result<Vec<u8>, WireAnomaly> {
    let (kept, fragment_header) =
        first.split_last_chunk::<{ ipv6::FRAGMENT_HEADER }>().ok_or(WireAnomaly::Ipv6ExtensionTruncated)?;
    let field = ipv6::next_header_field_before_fragment(first).ok_or(WireAnomaly::Ipv6ExtensionTruncated)?;
    let extensions = kept.len().saturating_sub(ipv6::HEADER);
    let total = u16::try_from(extensions.saturating_add(payload_length)).map_err(|_| WireAnomaly::FragmentTooBig)?;
    let mut header = kept.to_vec();
    if let Some(octet) = header.get_mut(field) {
        *octet = fragment_header[0];
    }
    if let Some(fixed) = header.first_chunk_mut::<{ ipv6::HEADER }>() {
        [fixed[4], fixed[5]] = total.to_be_bytes();
    }
    Ok(header)
}
