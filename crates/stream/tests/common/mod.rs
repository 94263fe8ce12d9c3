//! A client and a server whose segments are written by hand, and a log of what the table says.
// Each test file uses its part of it, and a broken assumption is to end the test.
#![allow(dead_code, unreachable_pub, clippy::expect_used, clippy::panic)]

pub mod capture;
pub mod gateway;
pub mod promises;
pub mod receivers;

use portcullis_lang::Direction;
use portcullis_stream::{
    EndReason, Envelope, FlowId, FlowSummary, FlowTable, Limits, StreamEvent, StreamEventKind, StreamEvents,
};
use portcullis_wire::{SequenceNumber, TcpFlags, TcpOptions, TcpSegment, Timestamp};

pub const CLIENT: ([u8; 4], u16) = ([192, 0, 2, 1], 40_000);
pub const SERVER: ([u8; 4], u16) = ([192, 0, 2, 2], 25);

pub const SYN: TcpFlags = TcpFlags::SYN;
pub const ACK: TcpFlags = TcpFlags::ACK;
pub const FIN: TcpFlags = TcpFlags::FIN;
pub const RST: TcpFlags = TcpFlags::RST;
pub const URG: TcpFlags = TcpFlags::URG;
pub const PSH: TcpFlags = TcpFlags::PSH;

/// A segment; the numbers are offsets in the streams, so that -1 is the place of the SYN.
#[derive(Clone, Debug)]
pub struct Segment {
    pub direction: Direction,
    pub offset: i64,
    pub ack: i64,
    pub flags: TcpFlags,
    pub payload: Vec<u8>,
    pub window: u16,
    pub urgent: u16,
    pub options: Vec<u8>,
    pub missing: u32,
    pub ttl: u8,
}

/// A segment of the client with data at an offset.
pub fn up(offset: i64, payload: &str) -> Segment {
    Segment {
        direction: Direction::Up,
        offset,
        ack: 0,
        flags: ACK,
        payload: payload.into(),
        window: 64_240,
        urgent: 0,
        options: Vec::new(),
        missing: 0,
        ttl: 64,
    }
}

/// A segment of the server with data at an offset.
pub fn down(offset: i64, payload: &str) -> Segment {
    Segment { direction: Direction::Down, ..up(offset, payload) }
}

impl Segment {
    pub fn ack(mut self, offset: i64) -> Segment {
        self.ack = offset;
        self
    }

    pub fn flags(mut self, flags: TcpFlags) -> Segment {
        self.flags = flags;
        self
    }

    pub fn fin(self) -> Segment {
        self.flags(ACK | FIN)
    }

    pub fn window(mut self, window: u16) -> Segment {
        self.window = window;
        self
    }

    pub fn options(mut self, options: &[u8]) -> Segment {
        self.options = options.to_vec();
        self
    }

    pub fn urgent(mut self, pointer: u16) -> Segment {
        self.urgent = pointer;
        self.flags(ACK | URG)
    }

    pub fn missing(mut self, missing: u32) -> Segment {
        self.missing = missing;
        self
    }
}

/// A table, a clock, and the log.
pub struct Lab {
    pub table: FlowTable,
    pub now: Timestamp,
    pub client_port: u16,
    /// The initial sequence numbers, up first.
    pub isn: [u32; 2],
    pub flow: Option<FlowId>,
    pub ended: Vec<(EndReason, FlowSummary)>,
    log: Vec<String>,
    streams: [Vec<u8>; 2],
}

impl Lab {
    pub fn new() -> Lab {
        Lab::with(Limits::default())
    }

    pub fn with(limits: Limits) -> Lab {
        Lab::of(FlowTable::new(limits, Some(7)))
    }

    pub fn of(table: FlowTable) -> Lab {
        Lab {
            table,
            now: Timestamp::from_seconds(1_700_000_000),
            client_port: CLIENT.1,
            isn: [1000, 5000],
            flow: None,
            ended: Vec::new(),
            log: Vec::new(),
            streams: Default::default(),
        }
    }

    /// A table that has seen the handshake; the log is empty.
    pub fn connected() -> Lab {
        let mut lab = Lab::new();
        lab.connect();
        lab
    }

    pub fn connect(&mut self) {
        self.send(&up(-1, "").flags(SYN));
        self.send(&down(-1, "").flags(SYN | ACK));
        self.send(&up(0, ""));
        assert_eq!(self.log(), ["started", "established"]);
    }

    /// Sends a segment one millisecond after the one before.
    pub fn send(&mut self, segment: &Segment) {
        self.wait_ms(1);
        let (mine, other) = match segment.direction {
            Direction::Up => (self.isn[0], self.isn[1]),
            Direction::Down => (self.isn[1], self.isn[0]),
        };
        let place = |isn: u32, offset: i64| SequenceNumber(isn.wrapping_add((1 + offset) as u32));
        let client = (CLIENT.0, self.client_port);
        let (source, destination) = match segment.direction {
            Direction::Up => (client, SERVER),
            Direction::Down => (SERVER, client),
        };
        let has_ack = segment.flags.contains(ACK);
        let acknowledgement = place(other, segment.ack);
        let tcp = TcpSegment {
            source_port: source.1,
            destination_port: destination.1,
            sequence: place(mine, segment.offset),
            acknowledgement: if has_ack { acknowledgement } else { SequenceNumber(0) },
            flags: segment.flags,
            reserved: 0,
            window: segment.window,
            checksum: 0,
            urgent: segment.urgent,
            options: TcpOptions::new(&segment.options),
            header: &[],
            payload: &segment.payload,
        };
        let envelope = Envelope {
            time: self.now,
            vlan: 0,
            source: source.0.into(),
            destination: destination.0.into(),
            length: 40 + segment.payload.len() as u32,
            missing: segment.missing,
            ttl: segment.ttl,
        };
        let mut events = StreamEvents::new();
        self.flow = self.table.tcp(&envelope, &tcp, &mut events);
        self.note(events);
    }

    pub fn send_all(&mut self, segments: &[Segment]) {
        for segment in segments {
            self.send(segment);
        }
    }

    pub fn wait_ms(&mut self, milliseconds: i64) {
        self.now = Timestamp(self.now.0 + milliseconds * 1_000_000);
    }

    /// Lets time pass without packets.
    pub fn sleep(&mut self, seconds: i64) {
        self.wait_ms(1000 * seconds);
        let mut events = StreamEvents::new();
        self.table.advance(self.now, &mut events);
        self.note(events);
    }

    pub fn finish(&mut self) {
        let mut events = StreamEvents::new();
        self.table.finish(&mut events);
        self.note(events);
    }

    /// What the table has said since the last call, a line per event.
    pub fn log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    /// All bytes delivered so far in a direction, gaps left out.
    pub fn stream(&self, direction: Direction) -> &[u8] {
        &self.streams[direction.index()]
    }

    pub fn summary(&self) -> FlowSummary {
        self.flow.and_then(|flow| self.table.flow(flow)).expect("the last packet has a flow")
    }

    pub fn note(&mut self, events: StreamEvents<'_>) {
        for StreamEvent { kind, .. } in events {
            self.log.push(match kind {
                StreamEventKind::Started { midstream, .. } => {
                    if midstream { "started midstream" } else { "started" }.to_string()
                }
                StreamEventKind::Established => "established".to_string(),
                StreamEventKind::Data { direction, offset, bytes } => {
                    assert!(!bytes.is_empty());
                    self.streams[direction.index()].extend_from_slice(&bytes);
                    let text = String::from_utf8_lossy(&bytes);
                    format!("{direction} {offset} {text}")
                }
                StreamEventKind::Gap { direction, offset, length, reason } => {
                    format!("{direction} {offset} gap of {length}: {reason}")
                }
                StreamEventKind::Finished { direction } => format!("{direction} finished"),
                StreamEventKind::Reset { direction } => format!("{direction} reset"),
                StreamEventKind::Datagram { direction, bytes, .. } => {
                    format!("{direction} datagram {}", String::from_utf8_lossy(bytes))
                }
                StreamEventKind::Anomaly { direction, kind, offset } => format!("{direction} {offset} {kind}"),
                StreamEventKind::Ended { reason, summary } => {
                    self.ended.push((reason, *summary));
                    format!("ended {reason}")
                }
                other => format!("{other:?}"),
            });
        }
    }
}
