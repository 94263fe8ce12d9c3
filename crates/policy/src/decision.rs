//! What a policy decides about an event.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use portcullis_lang::EventId;

/// How bad what an alert tells is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Worth looking at.
    Medium,
    /// Somebody is trying something.
    High,
    /// Somebody is about to succeed.
    Critical,
}

impl Severity {
    /// All of them, least first.
    pub const ALL: [Severity; 4] = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

    /// The severity as policies write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }

    /// The severity of a word of a policy.
    pub fn parse(word: &str) -> Option<Severity> {
        Severity::ALL.into_iter().find(|severity| severity.as_str() == word)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The number after `id`: unique over all policies of a set, and stable for those who read alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub u32);

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is known of a rule beside what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// The policy it belongs to.
    pub policy: Arc<str>,
    /// Its name.
    pub name: String,
    /// Its number.
    pub id: RuleId,
    /// The pairs after `about`, in order: `("attack", "T1566")`.
    pub about: Vec<(String, String)>,
}

/// One thing that one rule wants done about one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The rule.
    pub rule: Arc<RuleInfo>,
    /// What it wants.
    pub action: Action,
    /// Whether the rule or its policy only observes: a verdict, block or edit is then to be recorded and not carried out.
    pub observe: bool,
}

impl Decision {
    /// Whether people will ask why: it alerts, or it stops something or would.
    pub fn is_notable(&self) -> bool {
        matches!(self.action, Action::Alert { .. }) || self.action.stops()
    }
}

/// What a rule wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Tell people. The text is at most [`MAX_ALERT_TEXT`](crate::MAX_ALERT_TEXT) octets without control characters.
    Alert {
        /// How bad it is.
        severity: Severity,
        /// What it says.
        text: String,
    },
    /// Make a note. The text is bounded as that of an alert.
    Log {
        /// What it says.
        text: String,
    },
    /// Accept the event; no further rule is read for it.
    Pass,
    /// Discard the event and the rest of the flow; no further rule is read for it.
    Drop,
    /// Tell both sides that the connection is broken; no further rule is read for the event.
    Reset,
    /// Answer the client in the way of its protocol and close the connection; no further rule is read for the event.
    Refuse {
        /// What the client is told, without the end of its line.
        text: Arc<str>,
    },
    /// Look at the flow no more; no further rule is read for the event.
    Bypass,
    /// Drop flows that begin within a time and have this address at this end.
    Block {
        /// Which end of those flows.
        end: FlowEnd,
        /// The address.
        address: IpAddr,
        /// For how many nanoseconds.
        time: i64,
    },
    /// Keep octets of the event's side back, from the beginning of its record or stream on.
    Hold {
        /// The event of the same flow that ends it.
        until: EventId,
        /// How many octets at most.
        max: u32,
    },
    /// Change the record of the event; offsets are from its first octet.
    Edit(Vec<Splice>),
    /// Change the stream of the event.
    EditStream(StreamChange),
    /// The rule wanted to change something and could not, and why: what would come in does not fit what it would come into.
    EditRefused(&'static str),
}

/// An end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FlowEnd {
    /// Who opened it.
    Client,
    /// Who was asked.
    Server,
}

impl FlowEnd {
    /// The end as policies write it.
    pub fn name(self) -> &'static str {
        match self {
            FlowEnd::Client => "client",
            FlowEnd::Server => "server",
        }
    }
}

/// A change of a record: octets that others take the place of.
///
/// Splices are given in the order in which they were decided. One whose octets lie among those of a later one is overtaken
/// by it: [`Splice::merge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Octets of the record before it.
    pub offset: u32,
    /// How many octets go.
    pub removed: u32,
    /// What comes in their place.
    pub inserted: Box<[u8]>,
    /// Whether it stands beside what others put in at the same place, and does not take its place.
    pub beside: bool,
}

/// A change of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamChange {
    /// These octets come before its first.
    Start(Box<[u8]>),
    /// These octets come before its last line.
    End {
        /// What comes in.
        octets: Box<[u8]>,
        /// How many octets the last line has, with its newline.
        last_line: u32,
    },
    /// Newlines such as the one that the event tells of become canonical, from there to the end of the stream.
    Newlines,
}

impl Splice {
    fn end(&self) -> u32 {
        self.offset.saturating_add(self.removed)
    }

    /// Octets that are put in beside others.
    pub fn beside(offset: u32, inserted: Vec<u8>) -> Splice {
        Splice { offset, removed: 0, inserted: inserted.into(), beside: true }
    }

    /// Adds a splice to others, and removes those that it overtakes.
    pub fn merge(self, splices: &mut Vec<Splice>) {
        splices.retain(|earlier| !self.overtakes(earlier));
        splices.push(self);
    }

    /// Whether an earlier splice is void where this one is: it lies within what this one puts other octets in the place of.
    fn overtakes(&self, earlier: &Splice) -> bool {
        if self.beside {
            return false;
        }
        match (earlier.removed, self.removed) {
            (0, 0) => !earlier.beside && earlier.offset == self.offset,
            // What was put in at its edges stands beside it.
            (0, _) => self.offset < earlier.offset && earlier.offset < self.end(),
            _ => self.offset <= earlier.offset && earlier.end() <= self.end(),
        }
    }

    /// A record with splices carried out; those beyond its end are not.
    pub fn apply(splices: &[Splice], record: &[u8]) -> Vec<u8> {
        let mut merged = Vec::new();
        splices.iter().cloned().for_each(|splice| splice.merge(&mut merged));
        merged.sort_by_key(|splice| (splice.offset, splice.removed > 0));
        let (mut octets, mut at) = (Vec::with_capacity(record.len()), 0);
        for splice in &merged {
            let (start, end) = (splice.offset as usize, splice.end() as usize);
            let Some(before) = record.get(at..start).filter(|_| end <= record.len()) else { continue };
            octets.extend_from_slice(before);
            octets.extend_from_slice(&splice.inserted);
            at = end;
        }
        octets.extend_from_slice(record.get(at..).unwrap_or_default());
        octets
    }
}

impl Action {
    /// Whether it ends the reading of rules for the event, unless it is only observed.
    pub fn is_verdict(&self) -> bool {
        matches!(self, Action::Pass | Action::Bypass) || self.stops()
    }

    /// Whether nothing more of the flow gets through, unless it is only observed.
    pub fn stops(&self) -> bool {
        matches!(self, Action::Drop | Action::Reset | Action::Refuse { .. })
    }

    /// The action as policies write it.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Alert { .. } => "alert",
            Action::Log { .. } => "log",
            Action::Pass => "pass",
            Action::Drop => "drop",
            Action::Reset => "reset",
            Action::Refuse { .. } => "refuse",
            Action::Bypass => "bypass",
            Action::Block { .. } => "block",
            Action::Hold { .. } => "hold",
            Action::Edit(_) | Action::EditStream(_) => "edit",
            Action::EditRefused(_) => "edit_refused",
        }
    }
}
