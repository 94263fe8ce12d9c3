//! Fragments put together to datagrams again, as Linux does it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use ahash::RandomState;

use crate::anomaly::{AnomalySet, WireAnomaly};
use crate::datagram::{Datagram, Inserted};
use crate::decode::{Decoded, decode};
use crate::ip::{FragmentInfo, IpPacket, protocol};
use crate::limits::{DATAGRAM, FragmentLimits};
use crate::link::LinkType;
use crate::overlaps::FragmentOverlaps;
use crate::time::Timestamp;
use crate::{icmp, tcp, udp};

/// Puts fragments of IPv4 and IPv6 together, in bounded memory.
///
/// It holds what a Linux receiver holds, so that what is inspected is what is received (attack T7): a fragment that covers a
/// part of another discards the whole datagram (RFC 5722; Linux does so for IPv4 too since 2018, other receivers do not: see
/// [`FragmentOverlaps`]), one that repeats octets already held is ignored, and a timer runs from the first fragment. What Linux does *not* bound by datagram is bounded here:
/// see [`FragmentLimits`]. The oldest datagram yields to a new one, so that a flood of first fragments cannot shut out others
/// for longer than it lasts.
///
/// The clock is that of the packets and never runs backwards. Each operation takes constant time but for the fragments of the
/// datagram it touches; expiry takes constant time for each datagram.
#[derive(Debug)]
pub struct Defragmenter {
    limits: FragmentLimits,
    overlaps: FragmentOverlaps,
    slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    by_key: HashMap<Key, u32, RandomState>,
    /// The datagrams of IPv4 and of IPv6 by age: each family has one timeout, so age is also the order of expiry.
    by_age: [AgeList; 2],
    held_bytes: usize,
    now: Timestamp,
}

/// What became of a fragment.
#[derive(Debug)]
pub enum FragmentOutcome {
    /// It was the last that was missing: here is the datagram.
    Complete(Reassembled),
    /// It was thrown away, perhaps with the whole datagram; the anomalies say why.
    Discarded,
    /// It repeats what is already held and was ignored.
    Duplicate,
    /// It is kept until the others come.
    Held,
    /// The packet is no fragment at all.
    Whole,
}

/// What became of a fragment and what was odd about it.
#[derive(Debug)]
pub struct FragmentResult {
    /// What became of it.
    pub outcome: FragmentOutcome,
    /// What was odd about it.
    pub anomalies: AnomalySet,
}

/// A datagram made of its fragments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassembled {
    /// The packet from its IP header on, as if it had never been fragmented; never longer than 65,575 octets.
    pub bytes: Vec<u8>,
    /// When the first of the fragments was seen.
    pub first: Timestamp,
    /// How many fragments it came in, without duplicates.
    pub fragments: usize,
}

impl Reassembled {
    /// Reads the packet.
    pub fn decode(&self) -> Decoded<'_> {
        decode(LinkType::RawIp, &self.bytes)
    }
}

/// A datagram that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abandoned {
    /// The sender.
    pub source: IpAddr,
    /// The receiver.
    pub destination: IpAddr,
    /// The protocol that the earliest fragment named; for IPv6 perhaps an extension header.
    pub protocol: u8,
    /// The identification of the datagram.
    pub identification: u32,
    /// The outer VLAN.
    pub vlan: u16,
    /// When the earliest fragment was seen.
    pub first: Timestamp,
    /// How many fragments were held.
    pub fragments: usize,
    /// How many octets of payload were held.
    pub payload_bytes: usize,
    /// Why: [`WireAnomaly::FragmentTimeout`], [`WireAnomaly::FragmentLimit`] or, at the end of input,
    /// [`WireAnomaly::FragmentIncomplete`].
    pub anomaly: WireAnomaly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    identification: u32,
    /// Always zero for IPv6, where fragments may name different protocols and that of the first counts (RFC 8200, section 4.5).
    protocol: u8,
    vlan: u16,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    protocol: u8,
    first: Timestamp,
    datagram: Datagram,
    older: Option<u32>,
    newer: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct AgeList {
    oldest: Option<u32>,
    newest: Option<u32>,
}

/// What one datagram costs beside its octets: its slot, its place in the map, and its header.
const DATAGRAM_COST: usize = size_of::<Option<Entry>>() + 2 * size_of::<(Key, u32)>() + 64;

impl Defragmenter {
    /// Makes an empty one. Keys of the hash are random unless a seed is given; results do not depend on them.
    pub fn new(limits: FragmentLimits, seed: Option<u64>) -> Self {
        let hasher = seed.map_or_else(RandomState::new, |seed| RandomState::with_seed(seed as usize));
        Self {
            limits,
            overlaps: FragmentOverlaps::default(),
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::with_hasher(hasher),
            by_age: [AgeList::default(); 2],
            held_bytes: 0,
            now: Timestamp::MIN,
        }
    }

    /// Says which receiver's reading of overlapping fragments of IPv4 is wanted, if not that of Linux.
    pub const fn with_overlaps(mut self, overlaps: FragmentOverlaps) -> Self {
        self.overlaps = overlaps;
        self
    }

    /// Takes a fragment in. Datagrams given up meanwhile, for age or for want of room, are added to `abandoned`.
    pub fn insert(
        &mut self,
        now: Timestamp,
        vlan: u16,
        packet: &IpPacket<'_>,
        abandoned: &mut Vec<Abandoned>,
    ) -> FragmentResult {
        self.advance(now, abandoned);
        let Some(fragment) = packet.fragment else {
            return result(FragmentOutcome::Whole, AnomalySet::EMPTY);
        };
        if packet.missing > 0 {
            return result(FragmentOutcome::Discarded, WireAnomaly::CaptureCut.into());
        }
        let mut anomalies = AnomalySet::EMPTY;
        if is_tiny(packet, fragment) {
            anomalies.insert(WireAnomaly::FragmentTiny);
            // Linux drops it for IPv6 only and leaves the datagram as it is (RFC 7112).
            if packet.source.is_ipv6() {
                return result(FragmentOutcome::Discarded, anomalies);
            }
        }
        if let Some(anomaly) = refused_alone(packet, fragment) {
            anomalies.insert(anomaly);
            return result(FragmentOutcome::Discarded, anomalies);
        }
        if fragment.more && !packet.payload.len().is_multiple_of(8) {
            anomalies.insert(WireAnomaly::FragmentLength);
        }

        let key = Key::of(packet, vlan);
        let slot = match self.by_key.get(&key) {
            Some(slot) => *slot,
            None => self.open(key, packet, abandoned),
        };
        let outcome = self.insert_into(slot, packet, fragment, &mut anomalies);
        while self.held_bytes > self.limits.bytes && self.give_up_oldest(abandoned) {}
        if matches!(outcome, FragmentOutcome::Held) && !self.by_key.contains_key(&key) {
            anomalies.insert(WireAnomaly::FragmentLimit);
            return result(FragmentOutcome::Discarded, anomalies);
        }
        result(outcome, anomalies)
    }

    /// Moves the clock on and gives up what is too old. [`Defragmenter::insert`] does this by itself.
    pub fn advance(&mut self, now: Timestamp, abandoned: &mut Vec<Abandoned>) {
        self.now = self.now.max(now);
        for (family, timeout) in [self.limits.timeout_ipv4, self.limits.timeout_ipv6].into_iter().enumerate() {
            while let Some(slot) = self.expired(family, timeout) {
                self.give_up(slot, WireAnomaly::FragmentTimeout, abandoned);
            }
        }
    }

    /// Gives up all that is held, at the end of input, the oldest first.
    pub fn finish(&mut self, abandoned: &mut Vec<Abandoned>) {
        while let Some(slot) = self.oldest() {
            self.give_up(slot, WireAnomaly::FragmentIncomplete, abandoned);
        }
    }

    /// How many datagrams are held in parts.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// How many octets are held, with their bookkeeping; never above [`FragmentLimits::bytes`] after a call.
    pub const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn insert_into(
        &mut self,
        slot: u32,
        packet: &IpPacket<'_>,
        fragment: FragmentInfo,
        anomalies: &mut AnomalySet,
    ) -> FragmentOutcome {
        let most = self.limits.fragments;
        let overlaps = if packet.source.is_ipv4() { self.overlaps } else { FragmentOverlaps::Discard };
        let Some(entry) = self.entry(slot) else {
            return FragmentOutcome::Discarded;
        };
        let before = entry.datagram.cost();
        let inserted = entry.datagram.insert(packet, fragment, overlaps, most, anomalies);
        let after = entry.datagram.cost();
        self.held_bytes = self.held_bytes.saturating_add(after).saturating_sub(before);
        let anomaly = match inserted {
            Ok(Inserted::Duplicate) => return FragmentOutcome::Duplicate,
            Ok(Inserted::DuplicateDiffers) => {
                anomalies.insert(WireAnomaly::FragmentDuplicateDiffers);
                return FragmentOutcome::Duplicate;
            }
            Ok(Inserted::Held) => return FragmentOutcome::Held,
            Ok(Inserted::Last) => match self.close(slot).map(|entry| (entry.first, entry.datagram.reassemble())) {
                Some((first, Ok((bytes, fragments)))) => {
                    return FragmentOutcome::Complete(Reassembled { bytes, first, fragments });
                }
                Some((_, Err(anomaly))) => anomaly,
                None => return FragmentOutcome::Discarded,
            },
            Err(anomaly) => {
                self.close(slot);
                anomaly
            }
        };
        anomalies.insert(anomaly);
        FragmentOutcome::Discarded
    }

    /// Begins a datagram, if need be in the place of the oldest.
    fn open(&mut self, key: Key, packet: &IpPacket<'_>, abandoned: &mut Vec<Abandoned>) -> u32 {
        while self.by_key.len() >= self.limits.datagrams.max(1) && self.give_up_oldest(abandoned) {}
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            // As many as the limit has datagrams, which is counted in memory.
            (self.slots.len() - 1) as u32
        });
        let family = key.family();
        let older = self.by_age[family].newest.replace(slot);
        match older {
            Some(older) => {
                if let Some(older) = self.entry(older) {
                    older.newer = Some(slot);
                }
            }
            None => self.by_age[family].oldest = Some(slot),
        }
        let entry = Entry {
            key,
            protocol: packet.protocol,
            first: self.now,
            datagram: Datagram::default(),
            older,
            newer: None,
        };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(entry);
        }
        self.by_key.insert(key, slot);
        self.held_bytes = self.held_bytes.saturating_add(DATAGRAM_COST);
        slot
    }

    /// Takes a datagram out of table, list and count.
    fn close(&mut self, slot: u32) -> Option<Entry> {
        let entry = self.slots.get_mut(slot as usize)?.take()?;
        self.by_key.remove(&entry.key);
        self.free.push(slot);
        self.held_bytes = self.held_bytes.saturating_sub(DATAGRAM_COST + entry.datagram.cost());
        let family = entry.key.family();
        match entry.older.and_then(|older| self.entry(older)) {
            Some(older) => older.newer = entry.newer,
            None => self.by_age[family].oldest = entry.newer,
        }
        match entry.newer.and_then(|newer| self.entry(newer)) {
            Some(newer) => newer.older = entry.older,
            None => self.by_age[family].newest = entry.older,
        }
        Some(entry)
    }

    fn give_up_oldest(&mut self, abandoned: &mut Vec<Abandoned>) -> bool {
        let Some(slot) = self.oldest() else {
            return false;
        };
        self.give_up(slot, WireAnomaly::FragmentLimit, abandoned);
        true
    }

    fn give_up(&mut self, slot: u32, anomaly: WireAnomaly, abandoned: &mut Vec<Abandoned>) {
        let Some(entry) = self.close(slot) else {
            return;
        };
        abandoned.push(Abandoned {
            source: entry.key.source,
            destination: entry.key.destination,
            protocol: entry.protocol,
            identification: entry.key.identification,
            vlan: entry.key.vlan,
            first: entry.first,
            fragments: entry.datagram.fragments(),
            payload_bytes: entry.datagram.payload_bytes(),
            anomaly,
        });
    }

    fn expired(&self, family: usize, timeout: Duration) -> Option<u32> {
        let slot = self.by_age.get(family)?.oldest?;
        let entry = self.slots.get(slot as usize)?.as_ref()?;
        (self.now >= entry.first.saturating_add(timeout)).then_some(slot)
    }

    /// The oldest datagram of both families; of two of one moment that of IPv4.
    fn oldest(&self) -> Option<u32> {
        let heads = self.by_age.iter().filter_map(|list| list.oldest);
        heads.min_by_key(|slot| self.slots.get(*slot as usize).and_then(Option::as_ref).map(|entry| entry.first))
    }

    fn entry(&mut self, slot: u32) -> Option<&mut Entry> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }
}

impl Key {
    fn of(packet: &IpPacket<'_>, vlan: u16) -> Self {
        Self {
            source: packet.source,
            destination: packet.destination,
            identification: packet.identification,
            protocol: if packet.source.is_ipv4() { packet.protocol } else { 0 },
            vlan,
        }
    }

    fn family(&self) -> usize {
        usize::from(self.source.is_ipv6())
    }
}

const fn result(outcome: FragmentOutcome, anomalies: AnomalySet) -> FragmentResult {
    FragmentResult { outcome, anomalies }
}

/// Whether the first fragment does not reach over the transport header, or the second begins within it (RFC 1858).
fn is_tiny(packet: &IpPacket<'_>, fragment: FragmentInfo) -> bool {
    let header = match packet.protocol {
        protocol::TCP => tcp::HEADER,
        protocol::UDP => udp::HEADER,
        protocol::ICMP | protocol::ICMPV6 => icmp::HEADER,
        _ => 1,
    };
    match fragment.offset_bytes {
        0 => packet.payload.len() < header,
        // An IPv6 first fragment may hold options of any length, and only its protocol field is to be believed.
        8 => packet.protocol == protocol::TCP && packet.source.is_ipv4(),
        _ => false,
    }
}

/// Why a fragment of IPv6 is dropped by itself, leaving the datagram as it is.
fn refused_alone(packet: &IpPacket<'_>, fragment: FragmentInfo) -> Option<WireAnomaly> {
    if packet.source.is_ipv4() {
        return None;
    }
    let end = (fragment.offset_bytes as usize).saturating_add(packet.payload.len());
    if end > DATAGRAM {
        return Some(WireAnomaly::FragmentTooBig);
    }
    (fragment.more && !packet.payload.len().is_multiple_of(8)).then_some(WireAnomaly::FragmentLength)
}

#[cfg(test)]
#[path = "fragment_tests.rs"]
mod tests;
