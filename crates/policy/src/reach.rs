//! Rules that are never reached (C2): an earlier one takes every event that they could act on.

use std::collections::BTreeMap;

use portcullis_lang::{BinaryOperator, EventId, Expression, ExpressionKind, Span};

use crate::plan::ProtocolId;
use crate::syntax::VerdictClause;

/// Most rules with a verdict that are remembered for one event. More than these are not needed to find a mistake.
const MAX_CLOSERS: usize = 1_000;

/// The rules that end the reading, event by event, in the order in which they are read.
#[derive(Default)]
pub(crate) struct Reach<'t> {
    closers: BTreeMap<(ProtocolId, EventId), Vec<Closer<'t>>>,
}

/// A rule that ends the reading wherever its tests hold.
#[derive(Clone)]
pub(crate) struct Closer<'t> {
    /// Number of the policy.
    policy: usize,
    /// Tests of the policy and the rule: all of them have to hold.
    tests: Vec<&'t Expression>,
    /// Whether one of the tests is of the policy.
    narrowed: bool,
    pub(crate) verdict: VerdictClause,
    pub(crate) rule: Span,
    pub(crate) place: Span,
}

/// A rule on one event, as far as reaching it goes.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'t, 's> {
    /// Number of the policy.
    pub(crate) policy: usize,
    /// The `when` of the policy.
    pub(crate) policy_when: Option<&'t Expression>,
    /// The tests of the rule for this event.
    pub(crate) tests: &'s [&'t Expression],
}

impl<'t> Reach<'t> {
    /// The earlier rule that takes everything on which the candidate could act.
    ///
    /// One whose tests are all among the candidate's does, if they mean the same: those of another policy can name another
    /// list by the same word, so of other policies only rules without any test count.
    pub(crate) fn closer(&self, at: (ProtocolId, EventId), candidate: Candidate<'t, '_>) -> Option<&Closer<'t>> {
        let wanted: Vec<&Expression> = candidate.tests.iter().flat_map(|test| conjuncts(test)).collect();
        let closes = |closer: &&Closer<'_>| {
            if closer.policy == candidate.policy {
                closer.tests.iter().all(|test| wanted.contains(test))
            } else {
                closer.tests.is_empty() && !closer.narrowed
            }
        };
        self.closers.get(&at)?.iter().find(closes)
    }

    /// Remembers a rule that ends the reading.
    pub(crate) fn close(
        &mut self,
        at: (ProtocolId, EventId),
        candidate: Candidate<'t, '_>,
        verdict: (VerdictClause, Span),
        rule: Span,
    ) {
        let closers = self.closers.entry(at).or_default();
        if closers.len() >= MAX_CLOSERS {
            return;
        }
        closers.push(Closer {
            policy: candidate.policy,
            tests: candidate.tests.iter().flat_map(|test| conjuncts(test)).collect(),
            narrowed: candidate.policy_when.is_some(),
            verdict: verdict.0,
            rule,
            place: verdict.1,
        });
    }
}

/// The tests that are joined by `and`.
fn conjuncts(test: &Expression) -> Vec<&Expression> {
    match &test.kind {
        ExpressionKind::Binary(BinaryOperator::And, left, right) => {
            let mut tests = conjuncts(left);
            tests.extend(conjuncts(right));
            tests
        }
        _ => vec![test],
    }
}
