//! The `test` blocks of policies, with their names resolved.

use std::sync::Arc;

use portcullis_lang::{Direction, Span};

use crate::decision::RuleId;

/// A `test` block: a dialogue, and what the policies have to make of it.
///
/// This crate checks that the policies and rules it names exist. It is run where a grammar turns octets into events.
#[derive(Clone, Debug)]
pub struct PolicyTest {
    /// What it shows.
    pub name: String,
    /// The policies under test; empty for all.
    pub policies: Vec<Arc<str>>,
    /// What happens, in order.
    pub steps: Vec<PolicyTestStep>,
    /// Where it stands.
    pub span: Span,
}

/// A step of a [`PolicyTest`].
#[derive(Clone, Debug)]
pub enum PolicyTestStep {
    /// A side sends octets.
    Send(Direction, Box<[u8]>),
    /// Something has to have come of what was sent since the last step of this kind.
    Expect(Expected, Span),
}

/// What a test expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// An alert of this rule.
    Alert(RuleId),
    /// No alert of this rule, or none at all.
    NoAlert(Option<RuleId>),
    /// A rule that passed an event.
    Pass,
    /// A rule that dropped the flow.
    Drop,
    /// A rule that reset it.
    Reset,
    /// A rule that bypassed it.
    Bypass,
    /// A rule that blocked an address.
    Block,
    /// A rule that refused it, with a text that begins so.
    Refuse(Box<[u8]>),
    /// A rule that edited a record; it became this, if that is said.
    Edit(Option<Box<[u8]>>),
}
