//! What came of a dialogue: the decisions of the policies under test.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use portcullis_engine::{Flow, Judgement, Output, PacketInfo, StreamEdit};
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
    /// The record that was edited last, and how.
    record: Option<(Direction, u64)>,
    splices: Vec<Splice>,
    /// By direction: where octets that were said begin, and those octets.
    said: [(u64, Vec<u8>); 2],
    /// Edits of streams.
    stream_edits: Vec<StreamEdit>,
}

impl Findings {
    pub(super) fn of(policies: &[Arc<str>]) -> Findings {
        Findings {
            policies: policies.to_vec(),
            decisions: Vec::new(),
            edited: Vec::new(),
            record: None,
            splices: Vec::new(),
            said: Default::default(),
            stream_edits: Vec::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.decisions.clear();
        self.edited.clear();
        self.stream_edits.clear();
        for (begin, octets) in &mut self.said {
            *begin = begin.saturating_add(octets.len() as u64);
            octets.clear();
        }
    }

    /// What became of the octets of streams that were edited: all octets, and the range of them that is not as it was said.
    fn edited_streams(&self) -> Vec<(Vec<u8>, Range<usize>)> {
        let of = |direction: Direction| {
            let mut edits: Vec<_> = self.stream_edits.iter().filter(|edit| edit.direction == direction).collect();
            edits.sort_by_key(|edit| (edit.offset, edit.removed > 0));
            let (begin, said) = self.said.get(direction.index())?;
            let place =
                |offset: u64| usize::try_from(offset.saturating_sub(*begin)).unwrap_or(usize::MAX).min(said.len());
            let (mut octets, mut at, mut first) = (Vec::new(), 0, None);
            for edit in edits {
                octets.extend_from_slice(said.get(at..place(edit.offset)).unwrap_or_default());
                first.get_or_insert(octets.len());
                octets.extend_from_slice(&edit.inserted);
                at = place(edit.end());
            }
            let last = octets.len();
            octets.extend_from_slice(said.get(at..).unwrap_or_default());
            Some((octets, first?..last))
        };
        Direction::BOTH.into_iter().filter_map(of).collect()
    }

    /// Whether a stream has this text where it was edited.
    fn streams_have(&self, text: &[u8]) -> bool {
        self.edited_streams().iter().any(|(octets, edited)| {
            let places = octets.windows(text.len().max(1)).enumerate();
            let mut found =
                places.filter(|(_, window)| *window == text).map(|(at, window)| at..at.saturating_add(window.len()));
            found.any(|found| found.start <= edited.end && edited.start <= found.end)
        })
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
            Expected::Edit(None) => any(|action| matches!(action, Action::Edit(_) | Action::EditStream(_))),
            Expected::Edit(Some(text)) => {
                self.edited.iter().any(|edited| edited.as_slice() == text.as_ref()) || self.streams_have(text)
            }
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
                Action::EditRefused(why) => write!(f, "an edit of {} that was refused ({why})", rule.id)?,
                Action::Block { end, address, .. } => write!(f, "block of {} {} {address}", rule.id, end.name())?,
                other => write!(f, "{} of {}", other.name(), rule.id)?,
            }
        }
        for edited in &self.edited {
            write!(f, ", a record that becomes \"{}\"", edited.escape_ascii())?;
        }
        for (octets, edited) in self.edited_streams() {
            let shown = octets.get(edited).unwrap_or_default();
            write!(f, ", a stream that becomes \"...{}...\"", shown.escape_ascii())?;
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
                // What rules on one record, and on what is odd in it, make of it together.
                let place = (event.direction, event.begin);
                if self.record != Some(place) {
                    self.record = Some(place);
                    self.splices.clear();
                }
                let mut all = self.splices.clone();
                all.extend_from_slice(splices);
                self.edited.push(Splice::apply(&all, record.octets));
                if !judgement.decision.observe {
                    self.splices = all;
                }
            }
            self.decisions.push(judgement.decision.clone());
        }
    }

    fn wants_stream_edits(&self) -> bool {
        true
    }

    fn stream_edited(&mut self, _: &Flow, edit: &StreamEdit) {
        self.stream_edits.push(edit.clone());
    }

    fn stream_octets(&mut self, _: &Flow, _: &PacketInfo<'_>, direction: Direction, _: u64, octets: &[u8]) {
        if let Some((_, said)) = self.said.get_mut(direction.index()) {
            said.extend_from_slice(octets);
        }
    }

    fn flow_ended(&mut self, _: &Flow, _: &FlowSummary, _: EndReason, _: &PacketInfo<'_>) {}

    fn stream_anomaly(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: StreamAnomaly, _: u64) {}

    fn gap(&mut self, _: &Flow, _: &PacketInfo<'_>, _: Direction, _: u64, _: u64, _: GapReason) {}

    fn wire_anomaly(&mut self, _: &PacketInfo<'_>, _: WireAnomaly) {}

    fn wrong_checksum(&mut self, _: &PacketInfo<'_>) {}
}
