//! `gate`: a gateway has done something about a flow, beside letting its packets through or not.

use portcullis_policy::RuleInfo;
use serde::Serialize;
use serde::ser::SerializeMap;

use crate::encode::Body;

/// Something that a gateway has done.
#[derive(Clone, Copy, Debug)]
pub struct GateRecord<'a> {
    /// What: `refused`, `reset`, `hold_timeout`, `serialise_timeout`, `blocked`, `edited`, `would_edit`, `edit_refused`,
    /// `edit_failed`, `edit_memory`.
    pub action: &'static str,
    /// What the client was told, or why an edit was refused; none if nothing was said.
    pub text: Option<&'a str>,
    /// The rule that has blocked the address of the flow before it began, or that edits.
    pub rule: Option<&'a RuleInfo>,
}

impl Body for GateRecord<'_> {
    fn event_type(&self) -> &'static str {
        "gate"
    }

    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            action: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            text: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            signature_id: Option<u32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            rule: Option<String>,
        }
        let rule = self.rule.map(|rule| format!("{}/{}", rule.policy, rule.name));
        let signature_id = self.rule.map(|rule| rule.id.0);
        map.serialize_entry("gate", &Fields { action: self.action, text: self.text, signature_id, rule })
    }
}
