//! What each rule on an event comes to, for people who ask why.

use std::sync::Arc;

use portcullis_lang::{EventId, Host, Truth};

use crate::decision::RuleInfo;
use crate::plan::{Applicable, PolicySet, ProtocolId};

/// What a rule's tests come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The flow is not one of those that the rule, or its policy, is for.
    NotForFlow,
    /// A test does not hold: the one with this number, from 1.
    Fails(usize),
    /// A test asks for something that was not seen: the one with this number, from 1.
    Unknown(usize),
    /// All tests hold. Whether the rule acts depends on `after` and on the rules before it.
    Holds,
}

impl PolicySet {
    /// What the tests of each rule on an event come to, in the order in which rules are read. It changes nothing, and asks
    /// every rule, also those that the look-ups would leave out.
    pub fn readings(
        &self,
        protocol: ProtocolId,
        event: EventId,
        host: &dyn Host,
        applicable: &Applicable,
    ) -> Vec<(Arc<RuleInfo>, Reading)> {
        let rules = self.planned(protocol, event);
        let readings = rules.iter().map(|rule| {
            let reading = if rule.applies(applicable) {
                let mut tests = (1..).zip(&rule.conditions).map(|(number, test)| (number, test.test(host)));
                match tests.find(|(_, truth)| !truth.holds()) {
                    None => Reading::Holds,
                    Some((number, Truth::Unknown)) => Reading::Unknown(number),
                    Some((number, _)) => Reading::Fails(number),
                }
            } else {
                Reading::NotForFlow
            };
            (Arc::clone(&rule.info), reading)
        });
        readings.collect()
    }
}
