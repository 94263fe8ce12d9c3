//! `alert`: a rule of a policy wants people to know.

use std::net::IpAddr;

use portcullis_policy::{Action, Decision, RuleInfo, Severity};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::encode::Body;
use crate::identity::EventIdentity;
use crate::mail::Mail;
use crate::record::mail::Envelope;

/// The generator of our alerts, so that their numbers are not those of another engine's rules.
pub const GENERATOR: u32 = 9;

/// What became of what an alert tells about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody stopped it.
    #[default]
    Allowed,
    /// A rule discards it. In capture mode this is what the gateway would have done.
    Blocked,
    /// A rule would have discarded it, but is told to observe only.
    WouldBlock,
}

/// An alert.
#[derive(Clone, Copy, Debug)]
pub struct Alert<'a> {
    /// The rule.
    pub rule: &'a RuleInfo,
    /// How bad the rule says it is.
    pub severity: Severity,
    /// What the rule says, with the values of the event.
    pub text: &'a str,
    /// The event that the rule is on, `smtp.command`.
    pub event: &'a str,
    /// Where in which flow the event is; none of an alert about no flow.
    pub place: Option<EventIdentity>,
    /// What became of the event.
    pub outcome: Outcome,
    /// All that the rule has decided about the event.
    pub decided: &'a [Decision],
    /// The mail it is about, as far as it is known.
    pub mail: Option<&'a Mail>,
}

impl Body for Alert<'_> {
    fn event_type(&self) -> &'static str {
        "alert"
    }

    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("alert", &Fields(self))?;
        map.serialize_entry("verdict", &Verdict(self))?;
        if let Some(mail) = self.mail {
            map.serialize_entry("smtp", &Envelope(mail))?;
        }
        Ok(())
    }
}

/// What the rule does, beside alerting, and what it would do if it did not only observe.
struct Verdict<'a>(&'a Alert<'a>);

impl Serialize for Verdict<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Alert { outcome, decided, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("action", if *outcome == Outcome::Blocked { "drop" } else { "alert" })?;
        let mut edits = false;
        for decision in decided.iter() {
            let would = match &decision.action {
                Action::Alert { .. } | Action::Log { .. } | Action::Pass | Action::EditRefused(_) => continue,
                // A rule with several edits edits.
                Action::Edit(_) | Action::EditStream(_) if std::mem::replace(&mut edits, true) => continue,
                Action::Drop => "would_drop",
                Action::Reset => "would_reset",
                Action::Refuse { .. } => "would_refuse",
                Action::Bypass => "would_bypass",
                Action::Block { .. } => "would_block",
                Action::Hold { .. } => "would_hold",
                Action::Edit(_) | Action::EditStream(_) => "would_edit",
            };
            match &decision.action {
                _ if decision.observe => map.serialize_entry(would, &true)?,
                Action::Refuse { text } => map.serialize_entry("refuse", &**text)?,
                Action::Block { end, address, time } => {
                    let block = Block { end: end.name(), address, seconds: time / 1_000_000_000 };
                    map.serialize_entry("block", &block)?;
                }
                Action::Reset | Action::Bypass | Action::Hold { .. } | Action::Edit(_) | Action::EditStream(_) => {
                    map.serialize_entry(decision.action.name(), &true)?
                }
                _ => {}
            }
        }
        map.end()
    }
}

/// New flows of an address are dropped for some time.
#[derive(Serialize)]
struct Block<'a> {
    end: &'static str,
    address: &'a IpAddr,
    seconds: i64,
}

struct Fields<'a>(&'a Alert<'a>);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let alert = self.0;
        let mut map = serializer.serialize_map(None)?;
        // Readers know these two words and no third.
        map.serialize_entry("action", if alert.outcome == Outcome::Blocked { "blocked" } else { "allowed" })?;
        map.serialize_entry("gid", &GENERATOR)?;
        map.serialize_entry("signature_id", &alert.rule.id.0)?;
        map.serialize_entry("rev", &1u8)?;
        map.serialize_entry("signature", alert.text)?;
        map.serialize_entry("category", about(alert.rule, "category").next().unwrap_or(&alert.rule.policy))?;
        map.serialize_entry("severity", &number(alert.severity))?;
        map.serialize_entry("metadata", &Metadata(alert))?;
        map.end()
    }
}

/// Every value is a list of texts: readers of EVE expect nothing else here.
struct Metadata<'a>(&'a Alert<'a>);

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Alert { rule, severity, event, place, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("severity", &[severity.as_str()])?;
        map.serialize_entry("policy", &[&*rule.policy])?;
        map.serialize_entry("rule", &[rule.name.as_str()])?;
        map.serialize_entry("event", &[*event])?;
        if let Some(place) = place {
            map.serialize_entry("event_id", &[place.to_string()])?;
        }
        for (index, (key, _)) in rule.about.iter().enumerate() {
            let ours = matches!(key.as_str(), "severity" | "policy" | "rule" | "event" | "event_id" | "category");
            let seen = rule.about.iter().take(index).any(|(earlier, _)| earlier == key);
            if !ours && !seen {
                map.serialize_entry(key, &about(rule, key).collect::<Vec<_>>())?;
            }
        }
        map.end()
    }
}

fn about<'a, 'k>(rule: &'a RuleInfo, key: &'k str) -> impl Iterator<Item = &'a str> + use<'a, 'k> {
    rule.about.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
}

/// The number of a severity in EVE, 1 for the highest. There are three; the word is in the metadata.
fn number(severity: Severity) -> u8 {
    match severity {
        Severity::Critical | Severity::High => 1,
        Severity::Medium => 2,
        Severity::Low => 3,
    }
}
