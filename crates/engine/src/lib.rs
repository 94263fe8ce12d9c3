//! One flow from bytes to verdict: ties stream, grammar machine and policy.
//!
//! An [`Engine`] takes packets, one after the other, from wherever they come, and gives an [`Output`] what happened:
//! events of protocols, decisions of policies, what was odd about packets and streams, and flows that have ended. It owns
//! its flows, so that a worker needs no locks; one engine sees all packets of a flow.
//!
//! * [`Grammars`] are the loaded protocols and the ports they are expected on.
//! * [`Engine::packet`] is the way of a packet: link layer, fragments, flow, stream, conversation, rules.
//! * [`Gate`] is an engine in the way of packets: it says of each what becomes of it.
//! * [`Output`] takes what comes of it, with the [`Flow`] and the [`PacketInfo`] that it belongs to.
#![forbid(unsafe_code)]

mod blocks;
mod bounds;
mod doubtful;
mod engine;
mod flow;
mod footprint;
mod gate;
mod grammars;
mod held;
mod inspect;
mod limits;
mod output;
mod recognise;
mod rules;
mod statistics;

pub use blocks::Blocks;
pub use bounds::{Bound, BoundError, Failures, Unit, WhenMet};
pub use engine::{Engine, Settings};
pub use flow::{Flow, StreamEdit, Verdict};
pub use footprint::Footprint;
pub use gate::{Arriving, Failure, Fate, Gate, GateSettings, GateStatistics, Mode};
pub use grammars::Grammars;
pub use limits::EngineLimits;
pub use output::{Deed, EditOutcome, Explained, GateAction, Judgement, Output, PacketInfo};
pub use rules::Rules;
pub use statistics::Statistics;
