//! Segments of any kind through the normaliser: whatever a receiver prefers, it reads what was reported.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use portcullis_lang::Direction;
use portcullis_stream::{
    Change, DropReason, Envelope, FlowId, FlowTable, Limits, Midstream, Normalised, NormaliserSettings, SideNumbers,
    StreamEvent, StreamEventKind, StreamEvents, Treatment,
};
use portcullis_wire::{
    IpPacket, LinkType, Network, SequenceNumber, TcpFlags, TcpPacket, TcpSegment, Timestamp, Transport, decode,
};

use super::choices::Choices;

/// The floor of the time to live, where there is one.
const TTL_FLOOR: u8 = 32;

/// The first octet says how the normaliser is set up, the rest are segments of any kind.
///
/// What leaves for a place of a stream is always the same octet until it is acknowledged, and it is the one that was
/// reported: so every receiver reads the same, whether it prefers the first or the last of several octets, and whatever
/// the network loses behind the gateway. What was reported has left; nothing leaves beyond the end of a direction; nobody
/// acknowledges what was not let through; what leaves has right checksums and nothing that receivers disagree about; each
/// change and drop is counted; the bounds hold.
pub fn normaliser(octets: &[u8]) {
    let mut choices = Choices::new(octets);
    let mode = choices.octet();
    let mut gateway = Gateway::new(mode);
    if mode & 32 == 0 {
        for (direction, flags) in [
            (Direction::Up, TcpFlags::SYN),
            (Direction::Down, TcpFlags::SYN | TcpFlags::ACK),
            (Direction::Up, TcpFlags::ACK),
        ] {
            let offset = if flags.contains(TcpFlags::SYN) { -1 } else { 0 };
            gateway.send(&Sent {
                direction,
                port: 0,
                flags,
                offset,
                acknowledgement: 0,
                window: 64_240,
                options: vec![],
                urgent: 0,
                reserved: 0,
                ttl: 64,
                payload: &[],
            });
        }
    }
    while !choices.is_empty() {
        let (control, flags, extra) = (choices.octet(), TcpFlags(choices.octet()), choices.octet());
        let (offset, acknowledgement) = (choices.octet(), choices.octet());
        let length = usize::from(choices.octet() % 80);
        let step = if control & 64 != 0 { 64 } else { 1 };
        gateway.milliseconds += if control & 128 != 0 { 700 } else { 1 };
        gateway.send(&Sent {
            direction: if control & 1 == 0 { Direction::Up } else { Direction::Down },
            port: u16::from(control >> 1 & 3),
            flags,
            offset: i64::from(offset) * step - 8,
            acknowledgement: i64::from(acknowledgement) * step - 8,
            window: if control & 8 == 0 { 64_240 } else { u16::from(acknowledgement) },
            // Options that all know, those that were not agreed on, and any.
            options: match control >> 4 & 3 {
                0 => vec![],
                1 => vec![1, 1, 8, 10, 0, 0, extra, acknowledgement, 0, 0, 0, 1],
                2 => vec![2, 4, 5, 180, 4, 2, 8, 10, 0, 0, extra, 0, 0, 0, 0, 0, 1, 3, 3, 2],
                _ => choices.take(8).iter().copied().chain([0; 8]).take(8).collect(),
            },
            urgent: if extra & 1 == 0 { 0 } else { u16::from(extra) },
            reserved: if extra & 6 == 6 { extra >> 4 } else { 0 },
            ttl: if extra & 8 == 8 { extra } else { 64 },
            payload: choices.take(length),
        });
    }
    gateway.finish();
}

/// A segment before it comes to the gateway; the numbers are offsets in the streams, so that -1 is the place of the SYN.
struct Sent<'a> {
    direction: Direction,
    port: u16,
    flags: TcpFlags,
    offset: i64,
    acknowledgement: i64,
    window: u16,
    options: Vec<u8>,
    urgent: u16,
    reserved: u8,
    ttl: u8,
    payload: &'a [u8],
}

struct Gateway {
    table: FlowTable,
    version_6: bool,
    floor: Option<u8>,
    midstream: Midstream,
    withholds: bool,
    milliseconds: i64,
    flows: HashMap<FlowId, Followed>,
    changed: u64,
    dropped: u64,
}

/// What is known of a flow from outside.
#[derive(Default)]
struct Followed {
    /// Whether it was there before.
    midstream: bool,
    /// Whether the client's SYN was let through: without it the flow is joined wherever it is.
    greeted: bool,
    /// Whether a SYN-ACK was let through too: until then a side that has said nothing has nothing to be acknowledged.
    answered: bool,
    sides: [Side; 2],
}

/// What is known of one direction.
#[derive(Default)]
struct Side {
    /// What was reported; `None` where it was missing.
    reported: Vec<Option<u8>>,
    /// How much of it was seen to have left.
    checked: usize,
    /// What has left.
    left: Vec<Option<u8>>,
    /// Up to where its receiver has acknowledged.
    acknowledged: usize,
    /// Where a FIN that left has put the end.
    end: Option<usize>,
    finished: bool,
}

impl Gateway {
    fn new(mode: u8) -> Gateway {
        let limits = Limits {
            flows: 3,
            memory: 60_000,
            queue_segments: 8,
            queue_bytes: 8_000,
            record_bytes: 400,
            syn_bytes: 50,
            queue_time: Duration::from_secs(3),
            ..Limits::default()
        };
        let midstream = match mode & 3 {
            0 | 1 => Midstream::Inspect,
            2 => Midstream::Pass,
            _ => Midstream::Drop,
        };
        let floor = (mode & 4 != 0).then_some(TTL_FLOOR);
        let settings = NormaliserSettings { minimum_ttl: floor, midstream };
        Gateway {
            table: FlowTable::new(limits, Some(7)).with_normaliser(settings),
            version_6: mode & 16 != 0,
            floor,
            midstream,
            withholds: mode & 8 != 0,
            milliseconds: 0,
            flows: HashMap::new(),
            changed: 0,
            dropped: 0,
        }
    }

    fn send(&mut self, sent: &Sent<'_>) {
        self.milliseconds += 1;
        let packet = self.build(sent);
        let (ip, segment) = parsed(&packet).expect("a segment that we built");
        let time = Timestamp::from_micros(1_700_000_000_000_000 + 1_000 * self.milliseconds);
        let mut events = StreamEvents::new();
        let normalised = self.table.normalise(&Envelope::new(time, 0, &ip), &ip, &segment, &mut events);
        self.follow(&events);
        match &normalised.treatment {
            Treatment::Forward => self.left(&normalised, &ip, &segment),
            Treatment::Change(rewrite) => {
                assert!(!rewrite.changes().is_empty(), "changed for no reason");
                self.changed += rewrite.changes().iter().count() as u64;
                let changed = rewrite.apply(&ip, &segment);
                assert!(changed.len() <= packet.len(), "longer than it was");
                let (ip, segment) = parsed(&changed).expect("what leaves is a segment");
                assert!(ip.verify_header().is_acceptable() && ip.verify_transport().is_acceptable());
                assert_eq!(ip.length(), changed.len());
                self.left(&normalised, &ip, &segment);
            }
            Treatment::Drop(reason) => {
                self.dropped += 1;
                if says_what_it_has(*reason) {
                    self.acknowledged(&normalised, &segment);
                }
            }
        }
        self.check_reported();
        assert!(self.table.len() <= self.table.limits().flows);
        assert!(self.table.memory() <= self.table.limits().memory);
    }

    fn build(&self, sent: &Sent<'_>) -> Vec<u8> {
        let numbers = [u32::MAX - 200, 1 << 31];
        let (mine, other) = match sent.direction {
            Direction::Up => (numbers[0], numbers[1]),
            Direction::Down => (numbers[1], numbers[0]),
        };
        // Modulo 2^32, as sequence numbers are.
        let place = |first: u32, offset: i64| SequenceNumber(first.wrapping_add(1).wrapping_add(offset as u32));
        let host = |last: u8| match self.version_6 {
            true => IpAddr::from([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]),
            false => IpAddr::from([192, 0, 2, last]),
        };
        let ends = [SocketAddr::new(host(1), 40_000 + sent.port), SocketAddr::new(host(2), 25)];
        let packet = TcpPacket {
            source: ends[sent.direction.index()],
            destination: ends[sent.direction.other().index()],
            sequence: place(mine, sent.offset),
            acknowledgement: place(other, sent.acknowledgement),
            flags: sent.flags,
            window: sent.window,
            options: &sent.options,
            payload: sent.payload,
        };
        let mut octets = packet.build().expect("a short segment");
        let (ttl, tcp) = if self.version_6 { (7, 40) } else { (8, 20) };
        octets[ttl] = sent.ttl;
        octets[tcp + 12] |= sent.reserved & 0x0f;
        octets[tcp + 18..tcp + 20].copy_from_slice(&sent.urgent.to_be_bytes());
        octets
    }

    fn follow(&mut self, events: &StreamEvents<'_>) {
        for StreamEvent { flow, kind } in events {
            match kind {
                StreamEventKind::Started { midstream, .. } => {
                    let followed = Followed { midstream: *midstream, ..Followed::default() };
                    assert!(self.flows.insert(*flow, followed).is_none(), "started twice");
                    if self.withholds {
                        self.table.withhold_out_of_order(*flow);
                    }
                }
                StreamEventKind::Data { direction, offset, bytes } => {
                    let side = self.side(*flow, *direction);
                    assert!(!side.finished, "more after the end");
                    assert_eq!(*offset, side.reported.len() as u64, "a hole or an overlap");
                    side.reported.extend(bytes.iter().copied().map(Some));
                }
                StreamEventKind::Gap { direction, offset, length, .. } => {
                    let followed = self.flows.get_mut(flow).expect("an event of a flow that started");
                    assert!(followed.is_joined(), "a gap in a flow that was seen from its beginning");
                    let side = &mut followed.sides[direction.index()];
                    assert_eq!(*offset, side.reported.len() as u64, "a hole or an overlap");
                    assert!(*length < 1 << 20, "a gap of {length}");
                    side.reported.resize(side.reported.len() + usize::try_from(*length).expect("short"), None);
                }
                StreamEventKind::Finished { direction } => {
                    let side = self.side(*flow, *direction);
                    assert!(!side.finished, "finished twice");
                    side.finished = true;
                }
                StreamEventKind::Ended { .. } => {
                    self.flows.remove(flow).expect("a flow that started");
                }
                _ => {}
            }
        }
    }

    fn side(&mut self, flow: FlowId, direction: Direction) -> &mut Side {
        &mut self.flows.get_mut(&flow).expect("an event of a flow that started").sides[direction.index()]
    }

    /// Takes note of what leaves.
    fn left(&mut self, normalised: &Normalised, ip: &IpPacket<'_>, segment: &TcpSegment<'_>) {
        let flags = segment.flags;
        assert!(self.floor.is_none_or(|floor| ip.ttl >= floor), "below the floor");
        let Some(flow) = normalised.flow else {
            // Of no flow: either nobody reads what it brings, or it is not to be followed.
            let is_read = !segment.payload.is_empty() && !flags.contains(TcpFlags::RST);
            assert!(!is_read || self.midstream == Midstream::Pass, "uninspected octets");
            return;
        };
        assert!(!flags.contains(TcpFlags::URG) || flags.contains(TcpFlags::RST), "urgent");
        assert_eq!(segment.reserved, 0);
        if flags.contains(TcpFlags::SYN) {
            assert!(segment.payload.is_empty(), "data on a SYN");
            assert!(!flags.contains(TcpFlags::FIN) && !flags.contains(TcpFlags::RST));
            let followed = self.flows.get_mut(&flow).expect("a flow that started");
            followed.greeted |= !flags.contains(TcpFlags::ACK);
            followed.answered |= followed.greeted && flags.contains(TcpFlags::ACK);
            return;
        }
        if flags.contains(TcpFlags::RST) {
            return;
        }
        assert!(flags.contains(TcpFlags::ACK), "without ACK");
        let direction = normalised.direction;
        let position = self.position(flow, direction, segment.sequence);
        let withholds = self.withholds;
        let followed = self.flows.get_mut(&flow).expect("a flow that started");
        let side = &mut followed.sides[direction.index()];
        if withholds && !segment.payload.is_empty() {
            let next = i64::try_from(side.reported.len()).expect("short");
            assert!(position <= next, "out of order, though it was to be withheld");
        }
        side.take(position, segment.payload);
        let end = position + i64::try_from(segment.payload.len()).expect("a short segment");
        if flags.contains(TcpFlags::FIN) {
            side.take_fin(end);
        }
        self.acknowledged(normalised, segment);
    }

    /// Takes note of what a receiver says that it has.
    fn acknowledged(&mut self, normalised: &Normalised, segment: &TcpSegment<'_>) {
        let direction = normalised.direction;
        let Some(flow) = normalised.flow else { return };
        let position = self.position(flow, direction, segment.sequence);
        let acknowledgement = self.position(flow, direction.other(), segment.acknowledgement);
        let end = position + i64::try_from(segment.payload.len()).expect("a short segment");
        let followed = self.flows.get_mut(&flow).expect("a flow that started");
        let midstream = followed.is_joined();
        // Nobody looks at the acknowledgement of a segment that lies behind.
        let acknowledged = followed.sides[direction.index()].acknowledged;
        let is_old = usize::try_from(end).map_or(true, |end| end < acknowledged);
        let other = &mut followed.sides[direction.other().index()];
        if let Ok(acknowledgement) = usize::try_from(acknowledgement) {
            let most = other.reported.len() + usize::from(other.finished);
            // What went past before a flow was joined may be acknowledged at any time.
            assert!(acknowledgement <= most || midstream || is_old, "acknowledged {acknowledgement} of {most}");
            other.acknowledged = other.acknowledged.max(acknowledgement.min(other.reported.len()));
        }
    }

    /// The place of a number in the stream of a direction.
    fn position(&self, flow: FlowId, direction: Direction, number: SequenceNumber) -> i64 {
        let numbers = self.table.numbers(flow).expect("a flow that is there");
        let SideNumbers { next, offset, .. } = numbers[direction.index()];
        // Modulo 2^32, as sequence numbers are.
        let origin = SequenceNumber(next.0.wrapping_sub(offset as u32));
        i64::from(number.distance_from(origin))
    }

    /// What was reported has left.
    fn check_reported(&mut self) {
        for followed in self.flows.values_mut() {
            for side in &mut followed.sides {
                for at in side.checked..side.reported.len() {
                    let (reported, left) = (side.reported[at], side.left.get(at).copied().flatten());
                    assert!(left.is_none() || reported.is_none() || left == reported, "other octets at {at}");
                    assert!(
                        left.is_some() || reported.is_none() || self.withholds,
                        "reported and never let through: {at}"
                    );
                }
                side.checked = side.reported.len();
                assert!(side.end.is_none_or(|end| end == side.reported.len()), "more behind the end");
            }
        }
    }

    fn finish(&mut self) {
        let statistics = self.table.normaliser_statistics().expect("a normaliser");
        let changes: u64 = Change::ALL.iter().map(|change| statistics.changed(*change)).sum();
        let drops: u64 = DropReason::ALL.iter().map(|reason| statistics.dropped(*reason)).sum();
        assert_eq!((changes, drops), (self.changed, self.dropped), "changes and drops counted");
        assert_eq!(drops, statistics.all_dropped());
        let mut events = StreamEvents::new();
        self.table.finish(&mut events);
        self.follow(&events);
        assert!(self.flows.is_empty() && self.table.is_empty());
        assert_eq!(self.table.memory(), 0);
    }
}

impl Followed {
    /// Whether packets of either side may have gone past before it was seen.
    fn is_joined(&self) -> bool {
        self.midstream || !self.greeted || !self.answered
    }
}

impl Side {
    fn take(&mut self, position: i64, payload: &[u8]) {
        for (at, octet) in (position..).zip(payload) {
            // What lies before the stream, or was acknowledged, is read by nobody.
            let Ok(at) = usize::try_from(at) else { continue };
            if at < self.acknowledged {
                continue;
            }
            assert!(self.end.is_none_or(|end| at < end), "octets behind the end");
            assert!(at < 1 << 20, "far away");
            if self.left.len() <= at {
                self.left.resize(at + 1, None);
            }
            let earlier = self.left[at].or(self.reported.get(at).copied().flatten());
            assert!(earlier.is_none_or(|earlier| earlier == *octet), "other octets leave for {at}");
            self.left[at] = Some(*octet);
        }
    }

    fn take_fin(&mut self, end: i64) {
        let Ok(end) = usize::try_from(end) else { return };
        if end < self.acknowledged {
            return;
        }
        assert_eq!(end, self.reported.len(), "a FIN that is not at the end");
        assert!(self.finished, "a FIN left, and the end was not reported");
        self.end = Some(end);
    }
}

/// Whether a segment that was dropped was found to come from a host that is there: then what it acknowledges was received,
/// whether or not its sender hears of it.
fn says_what_it_has(reason: DropReason) -> bool {
    use DropReason::{DataAfterFin, EarlyFin, NotRecorded, OutOfOrderLimit, RecordLimit, Withheld};
    matches!(reason, DataAfterFin | EarlyFin | NotRecorded | OutOfOrderLimit | RecordLimit | Withheld)
}

fn parsed(octets: &[u8]) -> Option<(IpPacket<'_>, TcpSegment<'_>)> {
    let Network::Ip(ip) = decode(LinkType::RawIp, octets).network else { return None };
    let Transport::Tcp(segment) = ip.transport() else { return None };
    Some((ip, segment))
}
