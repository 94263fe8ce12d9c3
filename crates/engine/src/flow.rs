//! What the engine keeps of a flow.

use std::sync::Arc;

use portcullis_grammar::Dialogue;
use portcullis_lang::scheme::connection_slots;
use portcullis_lang::{Direction, Host, Place, Scope, Value};
use portcullis_policy::{Applicable, ProtocolId, Scans};
use portcullis_stream::{FlowId, FlowKey, Protocol};
use portcullis_wire::Timestamp;

use crate::doubtful::Doubtful;
use crate::gate::{GateFlow, RuleHold};
use crate::rules::Rules;

/// A flow, as outputs see it.
#[derive(Debug)]
pub struct Flow {
    /// Its id in the flow table.
    pub id: FlowId,
    /// Who talks to whom.
    pub key: FlowKey,
    /// Time of the first packet.
    pub start: Timestamp,
    /// Whether it was there before the first packet that was seen.
    pub midstream: bool,
    /// The protocol that is spoken, as a number of the engine's grammars.
    pub protocol: Option<ProtocolId>,
    /// The name of that protocol; empty if none is known.
    pub protocol_name: &'static str,
    /// The [`Rules::generation`] of the rules it is read and judged by, in which [`Flow::protocol`] counts.
    pub generation: u32,
    /// What was decided about it.
    pub verdict: Verdict,
    /// Alerts about it.
    pub alerts: u32,
    /// What rules want changed in its streams, in the order in which they decided; a gate takes it out after each packet.
    /// Where nobody is in the way of the packets there is never anything.
    pub edits: Vec<StreamEdit>,
}

/// A change of a stream: octets that others take the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEdit {
    /// Of which side.
    pub direction: Direction,
    /// Octets of the stream before it.
    pub offset: u64,
    /// How many octets go.
    pub removed: u32,
    /// What comes in their place.
    pub inserted: Vec<u8>,
    /// Whether it stands beside what others put in at the same place, and does not take its place.
    pub beside: bool,
}

impl StreamEdit {
    /// Octets of the stream up to the last that goes.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.removed))
    }

    /// Whether an earlier edit is void where this one is: it lies within what this one puts other octets in the place of.
    pub(crate) fn overtakes(&self, earlier: &StreamEdit) -> bool {
        if self.beside || self.direction != earlier.direction {
            return false;
        }
        match (earlier.removed, self.removed) {
            (0, 0) => !earlier.beside && earlier.offset == self.offset,
            // What was put in at its edges stands beside it.
            (0, _) => self.offset < earlier.offset && earlier.offset < self.end(),
            _ => self.offset <= earlier.offset && earlier.end() <= self.end(),
        }
    }
}

/// What rules have decided about a flow. The first that is not [`Verdict::Accept`] stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// It goes its way.
    #[default]
    Accept,
    /// It goes its way and is not looked at any more.
    Bypass,
    /// A gateway lets nothing more of it through, and says nothing.
    Drop,
    /// Both sides are told that the connection is broken.
    Reset,
    /// The client is answered with this text, in the way of its protocol, and the connection is closed.
    Refuse(Arc<str>),
}

impl Verdict {
    /// Whether nothing more of the flow gets through.
    pub fn stops(&self) -> bool {
        matches!(self, Verdict::Drop | Verdict::Reset | Verdict::Refuse(_))
    }

    /// The verdict as policies and records write it.
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Accept => "accept",
            Verdict::Bypass => "bypass",
            Verdict::Drop => "drop",
            Verdict::Reset => "reset",
            Verdict::Refuse(_) => "refuse",
        }
    }
}

/// A flow with what inspects it.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub(crate) flow: Flow,
    pub(crate) inspection: Inspection,
    /// Segments whose checksum is wrong, until it is known whether their receiver took them.
    pub(crate) doubtful: Vec<Doubtful>,
    /// What a gate does about it.
    pub(crate) gate: Option<Box<GateFlow>>,
    /// What rules hold of it.
    pub(crate) holds: Vec<RuleHold>,
    /// What it counts for in the account of what conversations hold.
    pub(crate) charged: usize,
}

#[derive(Debug)]
pub(crate) enum Inspection {
    /// Nobody reads it.
    None,
    /// Which protocol it is will be told by its first octets; those of the server are held.
    Undecided(Vec<u8>),
    Dialogue(Box<Conversation>),
}

#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) dialogue: Dialogue,
    pub(crate) applicable: Applicable,
    /// Where it is in the streams that rules look through.
    pub(crate) scans: Scans,
    pub(crate) rules: Arc<Rules>,
}

impl Conversation {
    /// Takes newer rules on the same grammars, if it is at a place where theirs and those before agree about what was seen;
    /// whether it did. In the middle of a stream rules would look for the end of what they have not seen begin.
    pub(crate) fn renew(&mut self, rules: &Arc<Rules>, flow: &Flow) -> bool {
        let Some(protocol) = flow.protocol else { return false };
        if Arc::ptr_eq(&self.rules, rules)
            || !Arc::ptr_eq(&self.rules.grammars, &rules.grammars)
            || !self.dialogue.is_between_streams()
        {
            return false;
        }
        let connection = Connection::of(flow);
        self.applicable = rules.policies.applicable(protocol, &connection);
        self.scans = Scans::default();
        self.rules = Arc::clone(rules);
        true
    }
}

/// Addresses and ports for the conditions of policies.
pub(crate) struct Connection<'a> {
    pub(crate) key: &'a FlowKey,
    pub(crate) protocol: &'a str,
    pub(crate) midstream: bool,
}

impl<'a> Connection<'a> {
    pub(crate) fn of(flow: &'a Flow) -> Connection<'a> {
        Connection { key: &flow.key, protocol: flow.protocol_name, midstream: flow.midstream }
    }
}

impl Connection<'_> {
    pub(crate) fn value(&self, slot: u16) -> Value<'_> {
        match slot {
            connection_slots::CLIENT_ADDRESS => Value::Address(self.key.client.ip()),
            connection_slots::CLIENT_PORT => Value::Number(i64::from(self.key.client.port())),
            connection_slots::SERVER_ADDRESS => Value::Address(self.key.server.ip()),
            connection_slots::SERVER_PORT => Value::Number(i64::from(self.key.server.port())),
            connection_slots::TRANSPORT => Value::bytes(match self.key.protocol {
                Protocol::Tcp => b"tcp",
                Protocol::Udp => b"udp",
            }),
            connection_slots::PROTOCOL => Value::bytes(self.protocol.as_bytes()),
            connection_slots::MIDSTREAM => Value::Boolean(self.midstream),
            _ => Value::Absent,
        }
    }
}

impl Host for Connection<'_> {
    fn read(&self, place: Place) -> Value<'_> {
        match place.scope {
            Scope::Connection => self.value(place.slot),
            _ => Value::Unknown,
        }
    }

    fn count(&self, _list: Place) -> u32 {
        0
    }

    fn element(&self, _list: Place, _index: u32, _slot: u16) -> Value<'_> {
        Value::Absent
    }
}
