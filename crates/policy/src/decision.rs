//! What a policy decides about an event.

use std::fmt;
use std::sync::Arc;

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
    /// Whether the rule or its policy only observes: a `drop` is then to be recorded and not carried out.
    pub observe: bool,
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
}

impl Action {
    /// Whether it ends the reading of rules for the event, unless it is only observed.
    pub fn is_verdict(&self) -> bool {
        matches!(self, Action::Pass | Action::Drop)
    }
}
