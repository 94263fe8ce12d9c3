//! What came of a dialogue: the decisions of the policies under test.

use std::fmt;
use std::sync::Arc;

use portcullis_engine::{Flow, Judgement, Output, PacketInfo};
use portcullis_grammar::Event;
use portcullis_lang::{Direction, EventId};
use portcullis_policy::{Action, Decision, Expected, Splice};
use portcullis_stream::{EndReason, FlowSummary, GapReason, StreamAnomaly};
use portcullis_wire::WireAnomaly;

/// Decisions since they were cleared.
pub(super) struct Findings {
    /// The policies under test; none for all.
    policies: Vec<Arc<str>>,
    decisions: Vec<Decision>,
    /// What records became by edits.
    edited: Vec<Vec<u8>>,
}

impl Findings {
    pub(super) fn of(policies: &[Arc<str>]) -> Findings {
        Findings { policies: policies.to_vec(), decisions: Vec::new(), edited: Vec::new() }
    }

    pub(super) fn clear(&mut self) {
        self.decisions.clear();
        self.edited.clear();
    }

    pub(super) fn meet(&self, expected: &Expected) -> bool {
        let alert = |decision: &&Decision| matches!(decision.action, Action::Alert { .. });
        let any = |test: fn(&Action) -> bool| self.decisions.iter().any(|decision| test(&decision.action));
        match expected {
            Expected::Alert(rule) => self.decisions.iter().filter(alert).any(|decision| decision.rule.id == *rule),
            Expected::NoAlert(None) => !self.decisions.iter().any(|decision| alert(&decision)),
            Expected::NoAlert(Some(rule)) => {
                !self.decisions.iter().filter(alert).any(|decision| decision.rule.id == *rule)
            }
            Expected::Pass => any(|action| matches!(action, Action::Pass)),
            Expected::Drop => any(|action| matches!(action, Action::Drop)),
            Expected::Reset => any(|action| matches!(action, Action::Reset)),
            Expected::Bypass => any(|action| matches!(action, Action::Bypass)),
            Expected::Block => any(|action| matches!(action, Action::Block { .. })),
            Expected::Refuse(begin) => self.decisions.iter().any(|decision| match &decision.action {
                Action::Refuse { text } => text.as_bytes().starts_with(begin),
                _ => false,
            }),
            Expected::Edit(None) => any(|action| matches!(action, Action::Edit(_))),
            Expected::Edit(Some(record)) => self.edited.iter().any(|edited| edited.as_slice() == record.as_ref()),
        }
    }
}

/// `alert 1001 "mail from banned domain", drop of 1001`
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.decisions.is_empty() {
            return f.write_str("no decision at all");
        }
        for (index, Decision { rule, action, .. }) in self.decisions.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            match action {
                Action::Alert { text, .. } => write!(f, "alert {} {text:?}", rule.id)?,
                Action::Log { text } => write!(f, "log {} {text:?}", rule.id)?,
                Action::Refuse { text } => write!(f, "refuse of {} {text:?}", rule.id)?,
                Action::Block { end, address, .. } => write!(f, "block of {} {} {address}", rule.id, end.name())?,
                other => write!(f, "{} of {}", other.name(), rule.id)?,
            }
        }
        for edited in &self.edited {
            write!(f, ", a record that becomes \"{}\"", edited.escape_ascii())?;
        }
        Ok(())
    }
}

impl Output for Findings {
    fn event(&mut self, _: &Flow, _: &PacketInfo<'_>, _: &Event<'_>) {}

    fn wants(&self, _: &Flow, _: EventId) -> bool {
        false
    }

    fn judgement(&mut self, _: &Flow, _: &PacketInfo<'_>, event: &Event<'_>, judgement: &Judgement<'_>) {
        let policy = &judgement.decision.rule.policy;
        if self.policies.is_empty() || self.policies.contains(policy) {
            if let (Action::Edit(splices), Some(record)) = (&judgement.decision.action, &event.record) {
                self.edited.push(Splice::apply(splices, record.octets));
            }
            self.decisions.push(judgement.decision.clone());
        }
    }

    fn flow_ended(&mut self, _: &Flow, _: &FlowSummary, _: EndReason, _: &PacketInfo<'_>) {}

    fn stream_anomaly(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: StreamAnomaly, _: u64) {}

    fn gap(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: u64, _: u64, _: GapReason) {}

    fn wire_anomaly(&mut self, _: &PacketInfo<'_>, _: WireAnomaly) {}

    fn wrong_checksum(&mut self, _: &PacketInfo<'_>) {}
}
