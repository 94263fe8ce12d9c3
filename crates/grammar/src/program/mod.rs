//! Programs: what the model is compiled to, one flat list of operations for all rules of a protocol.
//!
//! A rule's code has its entry in [`Program::entries`]; used as the element of a list, a line has another that first cuts
//! the line out. Operations are coarse: each is a loop over octets, not an octet. What is larger than a few words lies
//! in tables beside them.

mod compile;
mod run;

use std::sync::Arc;

use portcullis_lang::{AnomalyId, CaseValue, EventId, EventKind, Formula};

pub(crate) use run::{Outcome, ParseError, Run, decide};

use crate::model::{Conversion, Delimiter, First, Literal, Many, Matching, Protocol, Template};

/// A protocol's programs. It is made once and shared by all flows.
#[derive(Debug)]
pub struct Program {
    /// The model they were made from; states, streams and events are read from it.
    pub(crate) protocol: Arc<Protocol>,
    pub(crate) ops: Vec<Op>,
    /// By rule: where its code begins, and where it begins as the element of a list.
    pub(crate) entries: Vec<Entry>,
    pub(crate) formulas: Vec<Formula>,
    pub(crate) literals: Vec<Literal>,
    pub(crate) firsts: Vec<First>,
    pub(crate) untils: Vec<Until>,
    pub(crate) classes: Vec<[bool; 256]>,
    pub(crate) alternatives: Vec<(Vec<Literal>, bool)>,
    pub(crate) switches: Vec<Switch>,
    pub(crate) choices: Vec<Vec<(u16, u32)>>,
    pub(crate) loops: Vec<Many>,
    pub(crate) templates: Vec<Template>,
    pub(crate) names: Vec<String>,
    /// By event: which directions say it.
    pub(crate) directions: Vec<[bool; 2]>,
    matchings: Vec<Matching>,
    /// Events of the machine, by kind; each kind has one.
    pub(crate) kind_events: Vec<(EventKind, EventId)>,
    /// Events of named anomalies, by anomaly.
    pub(crate) anomaly_events: Vec<Option<EventId>>,
}

impl Program {
    /// The model.
    pub fn protocol(&self) -> &Arc<Protocol> {
        &self.protocol
    }

    /// The pairings of questions and answers.
    pub(crate) fn matchings(&self) -> impl Iterator<Item = &Matching> {
        self.matchings.iter()
    }

    /// How many operations there are, for people who compare grammars.
    pub fn operations(&self) -> usize {
        self.ops.len()
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) start: u32,
    pub(crate) element: u32,
}

/// No slot: the field is read and not kept.
pub(crate) const NO_SLOT: u16 = u16::MAX - 1;

/// One operation. `to` is the number of another one; the rest are slots and numbers of table entries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Literal {
        literal: u16,
    },
    Number {
        slot: u16,
        octets: u8,
        little: bool,
        signed: bool,
    },
    Bits {
        slot: u16,
        bits: u8,
    },
    Ipv4 {
        slot: u16,
    },
    Ipv6 {
        slot: u16,
    },
    Bytes {
        slot: u16,
        size: u16,
        convert: Conversion,
    },
    Rest {
        slot: u16,
        convert: Conversion,
    },
    Class {
        slot: u16,
        class: u16,
        min: u32,
        max: u32,
        convert: Conversion,
    },
    Until {
        slot: u16,
        until: u16,
        convert: Conversion,
    },
    Decimal {
        slot: u16,
        max: u32,
    },
    Hex {
        slot: u16,
        max: u32,
    },
    OneOf {
        slot: u16,
        alternatives: u16,
    },
    Newline,
    End,
    Let {
        slot: u16,
        value: u16,
    },
    Must {
        test: u16,
    },
    Should {
        test: u16,
        anomaly: AnomalyId,
    },
    /// Goes on if the prefix is there, to `to` if not.
    UnlessFirst {
        first: u16,
        to: u32,
    },
    Unless {
        test: u16,
        to: u32,
    },
    Present {
        slot: u16,
    },
    Jump {
        to: u32,
    },
    Switch {
        switch: u16,
    },
    /// The first branch whose prefix is there.
    Choose {
        choice: u16,
    },
    NoBranch {
        name: u16,
    },
    OpenWindow {
        size: u16,
    },
    CloseWindow,
    OpenLine {
        max: u32,
    },
    CloseLine,
    ListBegin,
    /// Whether there is one more element; its code follows by a call.
    ListNext {
        many: u16,
    },
    /// After an element.
    ListAfter {
        many: u16,
    },
    Value {
        slot: u16,
        rule: u16,
    },
    Follow {
        slot: u16,
        rule: u16,
        offset: u16,
    },
    Fail {
        text: u16,
    },
    /// Names the field for the error of what follows.
    Name {
        name: u16,
    },
    Return,
}

#[derive(Clone, Debug)]
pub(crate) struct Until {
    pub(crate) delimiter: Delimiter,
    pub(crate) class: Option<u16>,
    pub(crate) quote: Option<u8>,
    pub(crate) escape: Option<u8>,
    pub(crate) consume: bool,
    pub(crate) or_end: bool,
    pub(crate) max: u32,
}

impl Until {
    /// Most octets of the delimiter.
    fn longest_delimiter(&self) -> usize {
        match &self.delimiter {
            Delimiter::Text(text) => text.len(),
            Delimiter::Class(_) => 1,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Switch {
    pub(crate) on: u16,
    pub(crate) fold: bool,
    pub(crate) arms: Vec<(Vec<CaseValue>, u32)>,
    pub(crate) otherwise: Option<u32>,
    pub(crate) name: u16,
}
