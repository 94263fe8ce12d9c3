//! `flow`: a flow has ended.

use portcullis_stream::{EndReason, FlowState, FlowSummary, Protocol};
use portcullis_wire::TcpFlags;
use serde::Serialize;
use serde::ser::SerializeMap;

use crate::encode::Body;
use crate::time::IsoTime;

/// The end of a flow.
#[derive(Clone, Copy, Debug)]
pub struct FlowRecord<'a> {
    /// What was counted.
    pub summary: &'a FlowSummary,
    /// Why it ended.
    pub reason: EndReason,
    /// Whether a rule raised an alert in it.
    pub alerted: bool,
    /// Whether a rule discarded it, or would have, were this a gateway.
    pub dropped: bool,
    /// How many transactions it had.
    pub transactions: u64,
}

impl Body for FlowRecord<'_> {
    fn event_type(&self) -> &'static str {
        "flow"
    }

    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let statistics = &self.summary.statistics;
        let [up, down] = &statistics.directions;
        let flow = Fields {
            pkts_toserver: up.packets,
            pkts_toclient: down.packets,
            bytes_toserver: up.bytes,
            bytes_toclient: down.bytes,
            start: IsoTime(statistics.start),
            end: IsoTime(statistics.last),
            age: statistics.last.since(statistics.start).as_secs(),
            state: state(statistics.state),
            reason: reason(self.reason),
            alerted: self.alerted,
            action: self.dropped.then_some("drop"),
            tx_cnt: self.transactions,
            portcullis: Own {
                end: self.reason.name(),
                state: statistics.state.name(),
                midstream: statistics.midstream,
                missing_toserver: up.missing,
                missing_toclient: down.missing,
                gaps: up.gaps.saturating_add(down.gaps),
                anomalies: statistics.anomalies.iter().map(|kind| kind.name()).collect(),
            },
        };
        map.serialize_entry("flow", &flow)?;
        if self.summary.key.protocol == Protocol::Tcp {
            map.serialize_entry("tcp", &Tcp::new(up.flags, down.flags))?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Fields {
    pkts_toserver: u64,
    pkts_toclient: u64,
    bytes_toserver: u64,
    bytes_toclient: u64,
    start: IsoTime,
    end: IsoTime,
    age: u64,
    state: &'static str,
    reason: &'static str,
    alerted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
    tx_cnt: u64,
    portcullis: Own,
}

#[derive(Serialize)]
struct Own {
    end: &'static str,
    state: &'static str,
    midstream: bool,
    missing_toserver: u64,
    missing_toclient: u64,
    gaps: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    anomalies: Vec<&'static str>,
}

/// The flags that were seen: all of them in hexadecimal, and each that was set by name.
#[derive(Serialize)]
struct Tcp {
    tcp_flags: String,
    tcp_flags_ts: String,
    tcp_flags_tc: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    syn: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    fin: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    rst: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    psh: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ack: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    urg: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ecn: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cwr: bool,
}

impl Tcp {
    fn new(up: TcpFlags, down: TcpFlags) -> Tcp {
        let all = up.union(down);
        let hex = |flags: TcpFlags| format!("{:02x}", flags.bits());
        Tcp {
            tcp_flags: hex(all),
            tcp_flags_ts: hex(up),
            tcp_flags_tc: hex(down),
            syn: all.contains(TcpFlags::SYN),
            fin: all.contains(TcpFlags::FIN),
            rst: all.contains(TcpFlags::RST),
            psh: all.contains(TcpFlags::PSH),
            ack: all.contains(TcpFlags::ACK),
            urg: all.contains(TcpFlags::URG),
            ecn: all.contains(TcpFlags::ECE),
            cwr: all.contains(TcpFlags::CWR),
        }
    }
}

/// The states that EVE knows.
fn state(state: FlowState) -> &'static str {
    match state {
        FlowState::New => "new",
        FlowState::Established | FlowState::Closing => "established",
        FlowState::Closed | FlowState::Reset => "closed",
    }
}

/// The reasons that EVE knows: a flow that has closed is forgotten when its time is over.
fn reason(reason: EndReason) -> &'static str {
    match reason {
        EndReason::EndOfInput => "shutdown",
        EndReason::Evicted => "forced",
        EndReason::Replaced => "tcp_reuse",
        _ => "timeout",
    }
}
