//! `log`: a note that a rule makes, without an alert.

use portcullis_policy::RuleInfo;
use portcullis_report::Body;
use serde::Serialize;
use serde::ser::SerializeMap;

/// A note.
pub(super) struct LogRecord<'a> {
    pub(super) rule: &'a RuleInfo,
    pub(super) text: &'a str,
    /// The event that the rule is on, `smtp.command`.
    pub(super) event: &'a str,
}

impl Body for LogRecord<'_> {
    fn event_type(&self) -> &'static str {
        "log"
    }

    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            signature_id: u32,
            policy: &'a str,
            rule: &'a str,
            event: &'a str,
            text: &'a str,
        }
        let LogRecord { rule, text, event } = *self;
        map.serialize_entry(
            "log",
            &Fields { signature_id: rule.id.0, policy: &rule.policy, rule: &rule.name, event, text },
        )
    }
}
