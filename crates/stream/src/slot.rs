//! What the table holds per flow.

use std::net::SocketAddr;

use portcullis_lang::Direction;
use portcullis_wire::Timestamp;

use crate::anomaly::AnomalySet;
use crate::connection::Connection;
use crate::flow::{DirectionStatistics, FlowId, FlowKey, FlowState, FlowStatistics, FlowSummary};
use crate::limits::Limits;
use crate::opening::Opening;
use crate::tuple::Tuple;

/// A flow. A connection beyond its handshake has the rest of its state in a box.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Addresses and ports.
    pub(crate) tuple: Tuple,
    /// The number of the flow in the order of their beginning, two bits that are the caller's, and
    /// one that is set if the lower endpoint is the client: one word less matters in a million.
    origin: u64,
    /// The time of the first packet.
    pub(crate) start: Timestamp,
    /// The time of the last packet.
    pub(crate) last: Timestamp,
    /// The state of the protocol.
    pub(crate) body: Body,
}

// With the links of two lists (24 bytes), an embryonic flow has at most 128 bytes of state.
const _: () = assert!(Limits::HALF_OPEN_BYTES <= 128);

/// The state of a flow's protocol.
#[derive(Debug)]
pub(crate) enum Body {
    /// No flow.
    Free,
    /// TCP before its first data.
    Opening(Opening),
    /// TCP.
    Connection(Box<Connection>),
    /// UDP: what was counted, up first.
    Datagrams(Box<[DirectionStatistics; 2]>),
}

/// Groups of flows that are forgotten after the same time; the first are evicted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Embryonic,
    Closed,
    Datagram,
    Closing,
    Established,
}

impl Class {
    /// All classes, in the order of eviction.
    pub(crate) const ALL: [Class; 5] =
        [Class::Embryonic, Class::Closed, Class::Datagram, Class::Closing, Class::Established];

    /// The class of a connection by its state.
    pub(crate) fn of(state: FlowState) -> Class {
        match state {
            FlowState::New => Class::Embryonic,
            FlowState::Established => Class::Established,
            FlowState::Closing => Class::Closing,
            FlowState::Closed | FlowState::Reset => Class::Closed,
        }
    }

    /// How long a flow of the class may be silent.
    pub(crate) fn timeout(self, limits: &Limits) -> std::time::Duration {
        match self {
            Class::Embryonic => limits.embryonic,
            Class::Closed => limits.closed,
            Class::Datagram => limits.datagram,
            Class::Closing => limits.closing,
            Class::Established => limits.established,
        }
    }
}

impl Slot {
    /// Creates the state of a flow that begins.
    pub(crate) fn new(tuple: Tuple, serial: u64, client_is_low: bool, start: Timestamp, body: Body) -> Slot {
        Slot { tuple, origin: serial << 3 | u64::from(client_is_low), start, last: start, body }
    }

    /// The number of the flow in the order of their beginning.
    pub(crate) fn serial(&self) -> u64 {
        self.origin >> 3
    }

    /// The two bits that are the caller's.
    pub(crate) fn mark(&self) -> u8 {
        (self.origin >> 1 & 3) as u8
    }

    /// Sets those of the two bits that are set here.
    pub(crate) fn set_mark(&mut self, bits: u8) {
        self.origin |= u64::from(bits & 3) << 1;
    }

    /// The id of the flow, given its place.
    pub(crate) fn id(&self, index: u32) -> FlowId {
        FlowId { index, generation: self.serial() as u32 }
    }

    /// The direction of a packet, given whether its source is the lower endpoint.
    pub(crate) fn direction(&self, source_is_low: bool) -> Direction {
        if source_is_low == self.client_is_low() { Direction::Up } else { Direction::Down }
    }

    /// The class of the flow.
    pub(crate) fn class(&self) -> Class {
        match self.body {
            Body::Datagrams(_) => Class::Datagram,
            _ => Class::of(self.state()),
        }
    }

    /// Who talks to whom.
    pub(crate) fn key(&self) -> FlowKey {
        let (client, server): (SocketAddr, SocketAddr) = if self.client_is_low() {
            (self.tuple.low(), self.tuple.high())
        } else {
            (self.tuple.high(), self.tuple.low())
        };
        FlowKey { protocol: self.tuple.protocol(), client, server, vlan: self.tuple.vlan() }
    }

    /// The flow with what was counted about it.
    pub(crate) fn summary(&self, index: u32) -> FlowSummary {
        let midstream = match &self.body {
            Body::Opening(opening) => !opening.any_syn_seen(),
            Body::Connection(connection) => connection.is_midstream(),
            Body::Free | Body::Datagrams(_) => false,
        };
        let (directions, anomalies) = match &self.body {
            Body::Free => Default::default(),
            Body::Opening(opening) => (
                Direction::BOTH.map(|direction| DirectionStatistics {
                    packets: opening.packets(direction),
                    bytes: opening.bytes(direction),
                    flags: opening.flags[direction.index()],
                    ..Default::default()
                }),
                opening.anomalies,
            ),
            Body::Connection(connection) => (connection.statistics(), connection.anomalies()),
            Body::Datagrams(directions) => (**directions, AnomalySet::default()),
        };
        FlowSummary {
            flow: self.id(index),
            key: self.key(),
            statistics: FlowStatistics {
                start: self.start,
                last: self.last,
                state: self.state(),
                midstream,
                anomalies,
                directions,
            },
        }
    }

    fn client_is_low(&self) -> bool {
        self.origin & 1 == 1
    }

    fn state(&self) -> FlowState {
        match &self.body {
            Body::Free => FlowState::New,
            Body::Opening(opening) if opening.is_reset() => FlowState::Reset,
            Body::Opening(_) => FlowState::New,
            Body::Connection(connection) => connection.state(),
            Body::Datagrams(directions) if directions.iter().all(|one| one.packets > 0) => FlowState::Established,
            Body::Datagrams(_) => FlowState::New,
        }
    }
}
