//! What a flow is called and what is counted about it.

use std::fmt;
use std::net::SocketAddr;

use portcullis_lang::Direction;
use portcullis_wire::{TcpFlags, Timestamp};

use crate::anomaly::AnomalySet;

/// Names one flow of a [`FlowTable`](crate::FlowTable).
///
/// The slot of a flow that ended is given to another, the generation is not (before 2^32 flows have
/// passed): an id that was kept too long finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl FlowId {
    /// The place of the flow in the table, below [`Limits::flows`](crate::Limits::flows), so that
    /// whoever has state per flow can keep it in a vector.
    pub fn slot(self) -> usize {
        self.index as usize
    }

    /// How many flows the table had begun before this one, modulo 2^32.
    pub fn generation(self) -> u32 {
        self.generation
    }
}

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.generation)
    }
}

/// The protocols that have flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// The Transmission Control Protocol, IP protocol 6.
    Tcp,
    /// The User Datagram Protocol, IP protocol 17.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// The protocol.
    pub protocol: Protocol,
    /// Address and port of the side that opened the flow.
    pub client: SocketAddr,
    /// Address and port of the side that was listening.
    pub server: SocketAddr,
    /// The outermost VLAN, 0 for none.
    pub vlan: u16,
}

impl fmt::Display for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.protocol, self.client, self.server)?;
        if self.vlan != 0 {
            write!(f, " vlan {}", self.vlan)?;
        }
        Ok(())
    }
}

/// How far a flow has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FlowState {
    /// Nothing beyond the handshake of TCP, or one side of UDP, was seen.
    #[default]
    New,
    /// The handshake is complete or data was seen; for UDP, both sides have spoken.
    Established,
    /// One side has closed.
    Closing,
    /// Both sides have closed.
    Closed,
    /// A side has reset the connection.
    Reset,
}

impl FlowState {
    /// The name in records, in snake case.
    pub fn name(self) -> &'static str {
        match self {
            FlowState::New => "new",
            FlowState::Established => "established",
            FlowState::Closing => "closing",
            FlowState::Closed => "closed",
            FlowState::Reset => "reset",
        }
    }
}

/// What was counted about one direction of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectionStatistics {
    /// Packets, those that were ignored included.
    pub packets: u64,
    /// Bytes of these packets from the IP header on, as they were on the wire.
    pub bytes: u64,
    /// Bytes of payload that were delivered, in `Data` or `Datagram` events.
    pub delivered: u64,
    /// Bytes of the stream that are missing, in `Gap` events.
    pub missing: u64,
    /// Gaps.
    pub gaps: u32,
    /// Segments that brought nothing new: retransmissions, keep-alives, probes of the window.
    pub repeated: u32,
    /// Segments that had to be held because bytes before them were missing.
    pub out_of_order: u32,
    /// All TCP flags that were seen.
    pub flags: TcpFlags,
    /// The largest time to live of TCP packets behind the handshake.
    pub largest_ttl: u8,
}

/// What was counted about a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowStatistics {
    /// The time of the first packet.
    pub start: Timestamp,
    /// The time of the last packet.
    pub last: Timestamp,
    /// How far the flow has come.
    pub state: FlowState,
    /// Whether the beginning of the flow was not seen.
    pub midstream: bool,
    /// The kinds of anomalies that were seen.
    pub anomalies: AnomalySet,
    /// What was counted per direction, up first; [`FlowStatistics::direction`] picks one.
    pub directions: [DirectionStatistics; 2],
}

impl FlowStatistics {
    /// What was counted about a direction.
    pub fn direction(&self, direction: Direction) -> &DirectionStatistics {
        match direction {
            Direction::Up => &self.directions[0],
            Direction::Down => &self.directions[1],
        }
    }
}

/// A flow with what was counted about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowSummary {
    /// The id.
    pub flow: FlowId,
    /// Who talks to whom.
    pub key: FlowKey,
    /// What was counted.
    pub statistics: FlowStatistics,
}
