//! Flow table, TCP tracking and reassembly in order, timers on packet time.
//!
//! This layer takes the segments and datagrams that [`portcullis_wire`] finds in packets and says
//! what their receivers read: the bytes of each direction of each flow, in order and once. It
//! knows no protocols above, hands on values ([`StreamEvent`]) and calls nobody back.
//!
//! * [`FlowTable`] finds the flow of a packet, begins and ends flows, and keeps their timers.
//! * [`StreamEvent`] is what happened: a flow started, a side said something, bytes are
//!   missing, a segment is odd ([`StreamAnomaly`]), a flow ended.
//! * [`FlowSummary`] is what was counted about a flow.
//! * [`Limits`] are all bounds and timeouts.
//! * [`Editor`] changes what is said on a connection, of any length; [`Parting`] ends one.
//!
//! What is delivered is what a Linux receiver would read (or another, see [`Reassembly`]), whatever is done to the segments:
//! bytes that were delivered are not taken back; among segments that wait, an existing one is kept
//! and one that covers it replaces it; resets count only with the exact sequence number, and a
//! FIN only when all before it is there. What such a receiver would ignore is ignored here and
//! reported. Where the capture itself lost packets, which is seen by what the receiver
//! acknowledges, the loss is a gap and the stream goes on behind it.
//!
//! ```
//! use portcullis_stream::{Envelope, FlowTable, Limits, StreamEventKind, StreamEvents};
//! use portcullis_wire::{TcpSegment, Timestamp};
//!
//! // A segment from a connection that began before the capture: from port 40000 to 25, sequence
//! // number 1, acknowledgement 1, PSH and ACK, and five bytes.
//! let mut bytes = [0; 25];
//! bytes[..4].copy_from_slice(&[0x9c, 0x40, 0, 25]);
//! bytes[7] = 1;
//! bytes[11] = 1;
//! bytes[12..14].copy_from_slice(&[0x50, 0x18]);
//! bytes[20..].copy_from_slice(b"QUIT\n");
//! let segment = TcpSegment::parse(&bytes).expect("20 bytes of header");
//!
//! let mut table = FlowTable::new(Limits::default(), None);
//! let envelope = Envelope {
//!     time: Timestamp::from_seconds(1_700_000_000),
//!     vlan: 0,
//!     source: [192, 0, 2, 1].into(),
//!     destination: [192, 0, 2, 2].into(),
//!     length: 45,
//!     missing: 0,
//!     ttl: 64,
//! };
//! let mut events = StreamEvents::new();
//! let flow = table.tcp(&envelope, &segment, &mut events).expect("a flow begins");
//! let said: Vec<u8> = events
//!     .iter()
//!     .filter_map(|event| match &event.kind {
//!         StreamEventKind::Data { bytes, .. } => Some(bytes.to_vec()),
//!         _ => None,
//!     })
//!     .flatten()
//!     .collect();
//! assert_eq!(said, b"QUIT\n");
//! let key = table.flow(flow).expect("it has not ended").key;
//! assert_eq!(key.to_string(), "tcp 192.0.2.1:40000 -> 192.0.2.2:25");
//! ```
#![forbid(unsafe_code)]

mod anomaly;
mod buffers;
mod connection;
pub mod edit;
mod envelope;
mod event;
mod flow;
mod half;
mod limits;
mod list;
mod normalise;
mod opening;
mod own;
mod parting;
mod queue;
mod reassembly;
mod services;
mod shape;
mod slot;
mod table;
mod tuple;
mod wheel;

pub use anomaly::{AnomalySet, StreamAnomaly};
pub use edit::Editor;
pub use envelope::Envelope;
pub use event::{EndReason, GapReason, StreamEvent, StreamEventKind, StreamEvents};
pub use flow::{DirectionStatistics, FlowId, FlowKey, FlowState, FlowStatistics, FlowSummary, Protocol};
pub use limits::Limits;
pub use normalise::{
    Change, ChangeSet, DropReason, Midstream, Normalised, NormaliserSettings, NormaliserStatistics, Rewrite,
    SideNumbers, Treatment,
};
pub use own::{OptionOctets, OwnPacket};
pub use parting::{Parting, Standing};
pub use reassembly::{Reassembly, UnknownReassembly};
pub use services::ServicePorts;
pub use table::{FlowTable, TableStatistics};
