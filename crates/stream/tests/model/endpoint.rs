//! A host with one TCP connection: what it has to say and what it reads.
//!
//! It is strict where a gateway could go wrong: it never repeats what was acknowledged or selectively acknowledged, and
//! it fails when it is acknowledged what it has not sent, or is sent what it has no room for.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use portcullis_wire::{
    ChecksumState, LinkType, Network, SequenceNumber, TcpFlags, TcpPacket, TcpSegment, TcpTimestamps, Transport, decode,
};

const LONGEST: u64 = 3_000;

#[derive(Clone, Debug)]
pub struct Host {
    pub address: SocketAddr,
    pub iss: u32,
    pub mss: u16,
    pub scale: u8,
    pub buffer: u64,
    pub sack: bool,
    pub timestamps: bool,
    pub nagle: bool,
}

/// How a connection of a host stands; the times are milliseconds.
#[derive(Debug)]
pub struct Endpoint {
    pub host: Host,
    peer: SocketAddr,
    peer_mss: u16,
    peer_scale: u8,
    sack: bool,
    timestamps: bool,
    irs: u32,
    connected: bool,
    pub was_reset: bool,
    aborts: bool,

    /// What the application has written, and whether it has closed.
    written: Vec<u8>,
    closed: bool,
    una: u64,
    nxt: u64,
    peer_edge: u64,
    peer_window: u16,
    sacked: Vec<(u64, u64)>,
    duplicates: u32,
    recovery: Option<u64>,
    timer: Option<u64>,
    rto: u64,
    pub timeouts: u32,

    rcv: u64,
    pub received: Vec<u8>,
    read: u64,
    edge: u64,
    waiting: BTreeMap<u64, Vec<u8>>,
    latest: Vec<u64>,
    fin_at: Option<u64>,
    pub got_fin: bool,
    recent: u32,
    now: u64,
}

impl Endpoint {
    pub fn new(host: Host, peer: SocketAddr) -> Endpoint {
        let edge = host.buffer.min(65_535);
        Endpoint {
            peer,
            peer_mss: 536,
            peer_scale: 0,
            sack: false,
            timestamps: false,
            irs: 0,
            connected: false,
            was_reset: false,
            aborts: false,
            written: Vec::new(),
            closed: false,
            una: 0,
            nxt: 0,
            peer_edge: 0,
            peer_window: 0,
            sacked: Vec::new(),
            duplicates: 0,
            recovery: None,
            timer: None,
            rto: 200,
            timeouts: 0,
            rcv: 0,
            received: Vec::new(),
            read: 0,
            edge,
            waiting: BTreeMap::new(),
            latest: Vec::new(),
            fin_at: None,
            got_fin: false,
            recent: 0,
            now: 0,
            host,
        }
    }

    /// Where the connection stands, for messages.
    pub fn state(&self) -> String {
        let waiting: Vec<(u64, usize)> = self.waiting.iter().map(|(at, bytes)| (*at, bytes.len())).collect();
        format!(
            "written {} closed {} una {} nxt {} edge {} sacked {:?} timer {:?} rto {} | rcv {} read {} edge {} waiting {:?} fin {:?}",
            self.written.len(),
            self.closed,
            self.una,
            self.nxt,
            self.peer_edge,
            self.sacked,
            self.timer,
            self.rto,
            self.rcv,
            self.read,
            self.edge,
            waiting,
            self.fin_at,
        )
    }

    /// The SYN of a client, or the SYN-ACK of a server that has got one.
    pub fn greet(&self) -> Vec<u8> {
        let answers = self.connected;
        let mss = self.host.mss.to_be_bytes();
        let mut options = vec![2, 4, mss[0], mss[1], 1, 3, 3, self.host.scale];
        if self.host.sack {
            options.extend([1, 1, 4, 2]);
        }
        if self.host.timestamps && (!answers || self.timestamps) {
            options.extend([1, 1, 8, 10]);
            options.extend(self.clock().to_be_bytes());
            options.extend(self.recent.to_be_bytes());
        }
        let flags = if answers { TcpFlags::SYN | TcpFlags::ACK } else { TcpFlags::SYN };
        let packet = TcpPacket {
            source: self.host.address,
            destination: self.peer,
            sequence: SequenceNumber(self.host.iss),
            acknowledgement: SequenceNumber(if answers { self.irs.wrapping_add(1) } else { 0 }),
            flags,
            window: self.edge as u16,
            options: &options,
            payload: &[],
        };
        packet.build().unwrap()
    }

    pub fn write(&mut self, octets: &[u8]) {
        assert!(!self.closed);
        self.written.extend_from_slice(octets);
    }

    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Breaks the connection off with the next `poll`.
    pub fn abort(&mut self) {
        self.aborts = true;
    }

    /// Whether everything was said and heard, both ends included.
    pub fn is_done(&self) -> bool {
        self.closed && self.una == self.end() && self.got_fin
    }

    pub fn unread(&self) -> u64 {
        self.received.len() as u64 - self.read
    }

    /// The application reads so many octets.
    pub fn consume(&mut self, count: u64, out: &mut Vec<Vec<u8>>) {
        let before = self.edge - self.rcv.min(self.edge);
        self.read += count.min(self.unread());
        let free = self.host.buffer - self.unread();
        let small = u64::from(self.host.mss).min(self.host.buffer / 2);
        if !self.got_fin && before < small && free >= small && self.connected {
            out.push(self.segment(self.nxt, &[], TcpFlags::ACK));
        }
    }

    fn end(&self) -> u64 {
        self.written.len() as u64 + u64::from(self.closed)
    }

    fn clock(&self) -> u32 {
        self.host.iss.wrapping_mul(7).wrapping_add(self.now as u32)
    }

    fn number(&self, offset: u64) -> SequenceNumber {
        SequenceNumber(self.host.iss.wrapping_add(1).wrapping_add(offset as u32))
    }

    fn segment(&mut self, offset: u64, payload: &[u8], flags: TcpFlags) -> Vec<u8> {
        let free = self.host.buffer - self.unread();
        let shift = self.host.scale;
        let window = (self.edge.max(self.rcv + free) - self.rcv) >> shift;
        let window = window.min(65_535) as u16;
        self.edge = self.edge.max(self.rcv + (u64::from(window) << shift));
        let mut options = Vec::new();
        if self.timestamps {
            options.extend([1, 1, 8, 10]);
            options.extend(self.clock().to_be_bytes());
            options.extend(self.recent.to_be_bytes());
        }
        let blocks = self.blocks();
        if !blocks.is_empty() {
            options.extend([1, 1, 5, 2 + 8 * blocks.len() as u8]);
            for (start, end) in blocks {
                options.extend(self.irs.wrapping_add(1).wrapping_add(start as u32).to_be_bytes());
                options.extend(self.irs.wrapping_add(1).wrapping_add(end as u32).to_be_bytes());
            }
        }
        let packet = TcpPacket {
            source: self.host.address,
            destination: self.peer,
            sequence: self.number(offset),
            acknowledgement: SequenceNumber(self.irs.wrapping_add(1).wrapping_add(self.rcv as u32)),
            flags,
            window,
            options: &options,
            payload,
        };
        packet.build().unwrap()
    }

    fn blocks(&self) -> Vec<(u64, u64)> {
        if !self.sack {
            return Vec::new();
        }
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for (start, bytes) in &self.waiting {
            let end = start + bytes.len() as u64;
            match runs.last_mut() {
                Some(last) if *start <= last.1 => last.1 = last.1.max(end),
                _ => runs.push((*start, end)),
            }
        }
        let newest = |run: &(u64, u64)| self.latest.iter().rposition(|at| (run.0..run.1).contains(at));
        runs.sort_by_key(|run| std::cmp::Reverse(newest(run)));
        runs.truncate(3);
        runs
    }

    /// Octets of payload that fit into a segment.
    fn most(&self) -> usize {
        usize::from(self.peer_mss.min(self.host.mss)) - if self.timestamps { 12 } else { 0 }
    }

    fn send(&mut self, from: u64, most: usize, out: &mut Vec<Vec<u8>>) -> u64 {
        let length = self.written.len() as u64;
        let to = (from + most as u64).min(length);
        let payload = self.written[from.min(length) as usize..to.max(from.min(length)) as usize].to_vec();
        let fin = self.closed && to.max(from) == length;
        let end = from + payload.len() as u64 + u64::from(fin);
        let flags = TcpFlags::ACK
            | if payload.is_empty() { TcpFlags::EMPTY } else { TcpFlags::PSH }
            | if fin { TcpFlags::FIN } else { TcpFlags::EMPTY };
        out.push(self.segment(from, &payload, flags));
        end
    }

    /// Sends what may be sent, and what time asks for.
    pub fn poll(&mut self, now: u64, out: &mut Vec<Vec<u8>>) {
        self.now = now;
        if !self.connected || self.was_reset {
            return;
        }
        if self.aborts {
            self.was_reset = true;
            out.push(self.segment(self.nxt, &[], TcpFlags::RST | TcpFlags::ACK));
            return;
        }
        if self.timer.is_some_and(|timer| now >= timer) {
            self.timeouts += 1;
            self.rto = (self.rto * 2).min(LONGEST);
            self.timer = Some(now + self.rto);
            if self.una < self.nxt {
                self.recovery = Some(self.nxt);
                // The first octets, though they were acknowledged selectively: the acknowledgement itself may be lost
                // (RFC 2018, section 8).
                let most = self.most().min((self.nxt - self.una) as usize);
                self.send(self.una, most, out);
            } else {
                // The window is closed: ask for it (RFC 9293, section 3.8.6.1).
                let at = self.una.wrapping_sub(1);
                out.push(self.segment(at, &[], TcpFlags::ACK));
            }
        }
        let length = self.written.len() as u64;
        while self.nxt < self.end() {
            let room = self.peer_edge.saturating_sub(self.nxt);
            let left = length.saturating_sub(self.nxt);
            let piece = (self.most() as u64).min(left).min(room);
            if left > 0 && piece == 0 {
                break;
            }
            let is_small = piece < self.most() as u64;
            if is_small && self.host.nagle && self.una < self.nxt && !(self.closed && piece == left) {
                break;
            }
            let end = self.send(self.nxt, piece as usize, out);
            self.nxt = end;
        }
        if self.una < self.end() && (self.una < self.nxt || self.peer_edge <= self.nxt) {
            if self.timer.is_none() {
                self.timer = Some(now + self.rto);
            }
        } else {
            self.timer = None;
            self.rto = 200;
        }
    }

    /// Repeats the first octets that nobody has said to have.
    fn repeat_hole(&mut self, out: &mut Vec<Vec<u8>>) {
        let mut from = self.una;
        for (start, end) in self.sacked.clone() {
            if from < start {
                break;
            }
            from = from.max(end);
        }
        let next = self.sacked.iter().map(|(start, _)| *start).find(|start| *start > from).unwrap_or(u64::MAX);
        let most = self.most().min((next - from).min(1 << 20) as usize).min((self.nxt - from) as usize);
        if from < self.nxt {
            self.send(from, most, out);
        }
    }

    /// Takes a packet.
    pub fn take(&mut self, now: u64, octets: &[u8], out: &mut Vec<Vec<u8>>) {
        self.now = now;
        let Network::Ip(ip) = decode(LinkType::RawIp, octets).network else { panic!("an IP packet") };
        assert_eq!(ip.verify_transport(), ChecksumState::Valid);
        assert!(matches!(ip.verify_header(), ChecksumState::Valid | ChecksumState::Absent));
        let Transport::Tcp(segment) = ip.transport() else { panic!("a TCP segment") };
        assert_eq!(SocketAddr::new(ip.destination, segment.destination_port), self.host.address);
        let flags = segment.flags;
        if flags.contains(TcpFlags::SYN) {
            self.take_greeting(&segment, out);
            return;
        }
        if !self.connected || self.was_reset {
            return;
        }
        let start = self.rcv as i64
            + i64::from(segment.sequence.0.wrapping_sub(self.irs.wrapping_add(1)).wrapping_sub(self.rcv as u32) as i32);
        if flags.contains(TcpFlags::RST) {
            // RFC 5961: only the exact number counts, and another is asked about.
            if start == self.rcv as i64 {
                self.was_reset = true;
            } else if start > self.rcv as i64 && start < self.edge as i64 {
                out.push(self.segment(self.nxt, &[], TcpFlags::ACK));
            }
            return;
        }
        assert!(flags.contains(TcpFlags::ACK));
        let timestamps = segment.options.timestamps();
        if self.timestamps {
            let TcpTimestamps { value, echo } = timestamps.expect("timestamps were agreed on");
            assert!((self.clock().wrapping_sub(echo) as i32) >= 0, "an echo of what was never said");
            if (value.wrapping_sub(self.recent) as i32) < 0 {
                out.push(self.segment(self.nxt, &[], TcpFlags::ACK));
                return;
            }
            if start <= self.rcv as i64 {
                self.recent = value;
            }
        } else {
            assert!(timestamps.is_none(), "timestamps were not agreed on");
        }
        self.take_acknowledgement(&segment, out);
        self.take_payload(start, &segment, out);
    }

    fn take_greeting(&mut self, segment: &TcpSegment<'_>, out: &mut Vec<Vec<u8>>) {
        let options = segment.options.values();
        self.irs = segment.sequence.0;
        self.peer_mss = options.mss.unwrap_or(536);
        self.peer_scale = options.window_scale.unwrap_or(0);
        self.sack = self.host.sack && options.sack_permitted;
        self.timestamps = self.host.timestamps && options.timestamps.is_some();
        self.recent = options.timestamps.map_or(0, |timestamps| timestamps.value);
        self.peer_edge = u64::from(segment.window);
        self.peer_window = segment.window;
        self.connected = true;
        if segment.flags.contains(TcpFlags::ACK) {
            out.push(self.segment(0, &[], TcpFlags::ACK));
        } else {
            out.push(self.greet());
        }
    }

    fn take_acknowledgement(&mut self, segment: &TcpSegment<'_>, out: &mut Vec<Vec<u8>>) {
        let distance = segment.acknowledgement.distance_from(self.number(self.una));
        let position = self.una as i64 + i64::from(distance);
        assert!(position <= self.nxt as i64, "acknowledged {position} of {}", self.nxt);
        let Ok(position) = u64::try_from(position) else { return };
        if position < self.una {
            return;
        }
        if self.sack {
            let (base, una) = (self.number(self.una), self.una);
            for (start, end) in segment.options.sack().as_slice() {
                let place = |number: SequenceNumber| una as i64 + i64::from(number.distance_from(base));
                let (start, end) = (place(*start), place(*end));
                assert!(end <= self.nxt as i64, "selected {end} of {}", self.nxt);
                if start >= una as i64 && start < end {
                    self.sacked.push((start as u64, end as u64));
                }
            }
            self.sacked.sort_unstable();
        } else {
            assert!(segment.options.sack().is_empty());
        }
        let quiet = segment.payload.is_empty() && !segment.flags.contains(TcpFlags::FIN);
        if position > self.una {
            self.una = position;
            self.sacked.retain(|(_, end)| *end > position);
            self.duplicates = 0;
            self.rto = 200;
            self.timer = None;
            match self.recovery {
                Some(recovery) if position < recovery => self.repeat_hole(out),
                _ => self.recovery = None,
            }
        } else if quiet && self.una < self.nxt && segment.window == self.peer_window {
            self.duplicates += 1;
            if self.duplicates == 3 && self.recovery.is_none() {
                self.recovery = Some(self.nxt);
                self.repeat_hole(out);
            }
        }
        self.peer_window = segment.window;
        self.peer_edge = self.peer_edge.max(position + (u64::from(segment.window) << self.peer_scale));
    }

    fn take_payload(&mut self, start: i64, segment: &TcpSegment<'_>, out: &mut Vec<Vec<u8>>) {
        let fin = segment.flags.contains(TcpFlags::FIN);
        let end = start + segment.payload.len() as i64;
        if segment.payload.is_empty() && !fin {
            if start < self.rcv as i64 {
                out.push(self.segment(self.nxt, &[], TcpFlags::ACK));
            }
            return;
        }
        assert!(end <= self.edge as i64 || segment.payload.is_empty(), "sent up to {end} of {}", self.edge);
        if fin {
            assert!(self.fin_at.is_none_or(|at| at as i64 == end), "the end has moved");
            self.fin_at = Some(end as u64);
        }
        let skip = (self.rcv as i64 - start).max(0) as usize;
        if let Some(bytes) = segment.payload.get(skip..)
            && !bytes.is_empty()
        {
            let at = (start + skip as i64) as u64;
            let known = self.waiting.entry(at).or_default();
            if known.len() < bytes.len() {
                *known = bytes.to_vec();
            }
            self.latest.push(at);
        }
        while let Some((at, bytes)) = self.waiting.first_key_value().map(|(at, bytes)| (*at, bytes.clone())) {
            if at > self.rcv {
                break;
            }
            self.waiting.pop_first();
            if let Some(new) = bytes.get((self.rcv - at) as usize..) {
                self.received.extend_from_slice(new);
                self.rcv += new.len() as u64;
            }
        }
        if self.fin_at == Some(self.rcv) && !self.got_fin {
            self.got_fin = true;
            self.rcv += 1;
        }
        out.push(self.segment(self.nxt, &[], TcpFlags::ACK));
    }
}
