//! `anomaly`: something is not as it should be.

use portcullis_wire::WireAnomaly;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::encode::Body;
use crate::record::names::{protocol_event, stream_event, wire_event};
use crate::text::Text;

/// An anomaly.
#[derive(Clone, Copy, Debug)]
pub struct Anomaly<'a> {
    /// Where it was seen, and its name there.
    pub kind: AnomalyKind<'a>,
    /// Octets of the direction before it, if it lies in a stream.
    pub offset: Option<u64>,
}

/// The layers that have anomalies.
#[derive(Clone, Copy, Debug)]
pub enum AnomalyKind<'a> {
    /// In a packet, below its flow.
    Packet(WireAnomaly),
    /// The packet's checksum is wrong.
    Checksum {
        /// `ipv4`, `tcp`, `udp`, `icmpv4` or `icmpv6`.
        header: &'static str,
    },
    /// Checksums were not computed yet when packets were captured; told of the first.
    UnverifiedChecksums,
    /// A bound was met, so that a flow is not inspected as it should be.
    Limit {
        /// The name of the bound, `conversation-memory`.
        bound: &'a str,
        /// What becomes of the flow: `accept` or `drop`.
        verdict: &'a str,
    },
    /// A rule blocked one address more than there may be, and another block ended before its time.
    BlockDisplaced,
    /// In a stream or its segments; the name is one of
    /// [`StreamAnomaly::name`](portcullis_stream::StreamAnomaly::name).
    Stream(&'a str),
    /// Octets of a stream are missing.
    Gap {
        /// How many.
        length: u64,
        /// Why they are not waited for: one of [`GapReason::name`](portcullis_stream::GapReason::name).
        reason: &'a str,
    },
    /// In what a protocol's machine saw.
    Protocol {
        /// The protocol, `smtp`.
        protocol: &'a str,
        /// The name of the event without its protocol: `bare_lf`, `parse_error`.
        name: &'a str,
        /// What it means: the grammar's text of a named anomaly, the reason of a failure; may be empty.
        text: &'a str,
        /// The record or stream it was in; may be empty.
        record: &'a str,
        /// The state of the machine.
        state: &'a str,
    },
}

impl Body for Anomaly<'_> {
    fn event_type(&self) -> &'static str {
        "anomaly"
    }

    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("anomaly", &Fields(self))
    }
}

impl AnomalyKind<'_> {
    /// The layer and our own name, `smtp.bare_lf`, `stream.gap`: what rules and the summary call it.
    pub fn name(&self) -> String {
        match self {
            AnomalyKind::Packet(anomaly) => format!("packet.{}", anomaly.name()),
            AnomalyKind::Checksum { header } => format!("packet.{header}_checksum"),
            AnomalyKind::UnverifiedChecksums => "packet.unverified_checksums".into(),
            AnomalyKind::Limit { bound, .. } => format!("limit.{bound}"),
            AnomalyKind::BlockDisplaced => "limit.blocks".into(),
            AnomalyKind::Stream(name) => format!("stream.{name}"),
            AnomalyKind::Gap { .. } => "stream.gap".into(),
            AnomalyKind::Protocol { protocol, name, .. } => format!("{protocol}.{name}"),
        }
    }
}

struct Fields<'a>(&'a Anomaly<'a>);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0.kind {
            AnomalyKind::Packet(anomaly) => {
                map.serialize_entry("type", "decode")?;
                map.serialize_entry("event", &wire_event(anomaly))?;
            }
            AnomalyKind::Checksum { header } => {
                map.serialize_entry("type", "stream")?;
                map.serialize_entry("event", &format_args!("{header}.invalid_checksum"))?;
            }
            AnomalyKind::UnverifiedChecksums => {
                map.serialize_entry("type", "decode")?;
                map.serialize_entry("event", "unverified_checksums")?;
            }
            AnomalyKind::Limit { bound, .. } => {
                map.serialize_entry("type", "stream")?;
                map.serialize_entry("event", &format_args!("limit.{bound}"))?;
            }
            AnomalyKind::BlockDisplaced => {
                map.serialize_entry("type", "stream")?;
                map.serialize_entry("event", "limit.blocks")?;
            }
            AnomalyKind::Stream(name) => {
                map.serialize_entry("type", "stream")?;
                map.serialize_entry("event", &stream_event(name))?;
            }
            AnomalyKind::Gap { .. } => {
                map.serialize_entry("type", "stream")?;
                map.serialize_entry("event", "stream.reassembly_seq_gap")?;
            }
            AnomalyKind::Protocol { protocol, name, .. } => {
                map.serialize_entry("app_proto", protocol)?;
                map.serialize_entry("type", "applayer")?;
                map.serialize_entry("event", protocol_event(protocol, name).unwrap_or(name))?;
                map.serialize_entry("layer", "proto_parser")?;
            }
        }
        map.serialize_entry("portcullis", &Own(self.0))?;
        map.end()
    }
}

struct Own<'a>(&'a Anomaly<'a>);

impl Serialize for Own<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.0.kind.name())?;
        match self.0.kind {
            AnomalyKind::Gap { length, reason } => {
                map.serialize_entry("length", &length)?;
                map.serialize_entry("reason", reason)?;
            }
            AnomalyKind::UnverifiedChecksums => {
                let text = "checksums were not computed yet when packets were captured; they are not verified";
                map.serialize_entry("text", text)?;
            }
            AnomalyKind::Limit { verdict, .. } => {
                map.serialize_entry("text", "a bound was met: from here on the flow is not inspected")?;
                map.serialize_entry("verdict", verdict)?;
            }
            AnomalyKind::BlockDisplaced => {
                let text = "a rule blocks one address more than there may be: the block that ends soonest gave way";
                map.serialize_entry("text", text)?;
            }
            AnomalyKind::Protocol { text, record, state, .. } => {
                for (key, value) in [("text", text), ("record", record), ("state", state)] {
                    if !value.is_empty() {
                        map.serialize_entry(key, &Text::new(value.as_bytes()))?;
                    }
                }
            }
            _ => {}
        }
        if let Some(offset) = self.0.offset {
            map.serialize_entry("offset", &offset)?;
        }
        map.end()
    }
}
