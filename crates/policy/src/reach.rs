//! Rules that are never reached (C2): an earlier one takes every event that they could act on.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::discriminant;

use portcullis_lang::{BinaryOperator, EventId, Expression, ExpressionKind, Member, Set, Span};

use crate::plan::ProtocolId;
use crate::syntax::VerdictClause;

/// The rules that end the reading, event by event.
#[derive(Default)]
pub(crate) struct Reach<'t> {
    closers: BTreeMap<(ProtocolId, EventId), Closers<'t>>,
    /// How many there are.
    count: usize,
}

/// The rules that end the reading of one event.
#[derive(Default)]
struct Closers<'t> {
    /// Those without a test.
    always: Vec<Closer<'t>>,
    /// The others, by their policy and the sketch of one of their tests: who has no such test is not closed by them.
    by_test: BTreeMap<(usize, u64), Vec<Closer<'t>>>,
}

/// A rule that ends the reading wherever its tests hold.
#[derive(Clone)]
pub(crate) struct Closer<'t> {
    /// Its place among all of them.
    number: usize,
    /// Number of the policy.
    policy: usize,
    /// Tests of the rule: all of them have to hold.
    tests: Vec<&'t Expression>,
    /// Whether its policy has a test too.
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
        let closers = self.closers.get(&at)?;
        let always = closers.always.iter().filter(|closer| closer.policy == candidate.policy || !closer.narrowed);
        let by_test = wanted.iter().filter_map(|test| closers.by_test.get(&(candidate.policy, sketch(test)))).flatten();
        let closing = by_test.filter(|closer| closer.tests.iter().all(|test| wanted.contains(test)));
        always.chain(closing).min_by_key(|closer| closer.number)
    }

    /// Remembers a rule that ends the reading.
    pub(crate) fn close(
        &mut self,
        at: (ProtocolId, EventId),
        candidate: Candidate<'t, '_>,
        verdict: (VerdictClause, Span),
        rule: Span,
    ) {
        self.count = self.count.saturating_add(1);
        let closer = Closer {
            number: self.count,
            policy: candidate.policy,
            tests: candidate.tests.iter().flat_map(|test| conjuncts(test)).collect(),
            narrowed: candidate.policy_when.is_some(),
            verdict: verdict.0,
            rule,
            place: verdict.1,
        };
        let closers = self.closers.entry(at).or_default();
        // The test that the fewest others have: of thousands of `verb == MAIL and sender.domain == "..."` the second.
        let keys = closer.tests.iter().map(|test| (closer.policy, sketch(test)));
        match keys.min_by_key(|key| closers.by_test.get(key).map_or(0, Vec::len)) {
            None => closers.always.push(closer),
            Some(key) => closers.by_test.entry(key).or_default().push(closer),
        }
    }
}

/// A number that is the same for expressions that say the same, and mostly another for others.
fn sketch(expression: &Expression) -> u64 {
    let mut hasher = DefaultHasher::new();
    draw(expression, &mut hasher);
    hasher.finish()
}

fn draw(expression: &Expression, hasher: &mut DefaultHasher) {
    discriminant(&expression.kind).hash(hasher);
    match &expression.kind {
        ExpressionKind::Number(number) => number.hash(hasher),
        ExpressionKind::Text(text) => text.bytes.hash(hasher),
        ExpressionKind::Name(name) | ExpressionKind::Keyword(name) => name.text.hash(hasher),
        ExpressionKind::Address(address) => address.hash(hasher),
        ExpressionKind::Field(inner, name) => {
            draw(inner, hasher);
            name.text.hash(hasher);
        }
        ExpressionKind::Unary(_, inner) => draw(inner, hasher),
        ExpressionKind::Binary(_, left, right) => {
            draw(left, hasher);
            draw(right, hasher);
        }
        ExpressionKind::In(value, set) => {
            draw(value, hasher);
            match set {
                Set::Of(set) => draw(set, hasher),
                Set::Members(members) => members.iter().for_each(|member| match member {
                    Member::Value(value) => draw(value, hasher),
                    Member::Range(low, high) => {
                        draw(low, hasher);
                        draw(high, hasher);
                    }
                }),
            }
        }
        ExpressionKind::TextTest { value, pattern, .. } => {
            draw(value, hasher);
            draw(pattern, hasher);
        }
        // What is left out here tells fewer apart, and `==` tells them apart in the end.
        _ => {}
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
