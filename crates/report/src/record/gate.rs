//! `gate`: a gateway has done something about a flow, beside letting its packets through or not.

use serde::Serialize;
use serde::ser::SerializeMap;

use crate::encode::Body;

/// Something that a gateway has done.
#[derive(Clone, Copy, Debug)]
pub struct GateRecord<'a> {
    /// What: `refused`, `reset`, `hold_timeout`.
    pub action: &'static str,
    /// What the client was told; none if nothing was said.
    pub text: Option<&'a str>,
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
        }
        map.serialize_entry("gate", &Fields { action: self.action, text: self.text })
    }
}
