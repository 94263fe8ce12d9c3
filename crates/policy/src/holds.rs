//! `hold EVENT until EVENT max SIZE`: that what is held begins somewhere, and that its end can come while it is held.

use std::sync::Arc;

use portcullis_lang::{Code, Diagnostic, Diagnostics, EventId, EventKind, EventType, Path, ProtocolScheme};

use crate::events::{self, Protocol};
use crate::syntax::HoldClause;

/// A hold, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    pub(crate) until: EventId,
    /// In octets.
    pub(crate) max: u32,
}

/// The event with which that begins which a hold is about: of a stream its beginning. What has none is reported.
pub(crate) fn begin<'a>(
    path: &Path,
    found: (EventId, &'a EventType),
    scheme: &'a ProtocolScheme,
    diagnostics: &mut Diagnostics,
) -> Option<(EventId, &'a EventType)> {
    match found.1.kind {
        EventKind::Record | EventKind::StreamStart => Some(found),
        EventKind::StreamEnd => scheme.stream_start(found.0),
        _ => {
            diagnostics.push(
                Diagnostic::error(Code::C24, format!("`{path}` is nothing that could be held"))
                    .primary(path.span, "octets belong to a record or to a stream")
                    .help("name the record or stream: `hold smtp.mail until smtp.mail max 256 KB`"),
            );
            None
        }
    }
}

/// Checks how a hold from an event on ends.
pub(crate) fn compile(
    clause: &HoldClause,
    (from, path): (EventId, &Path),
    protocol: Protocol<'_>,
    schemes: &[Arc<ProtocolScheme>],
    diagnostics: &mut Diagnostics,
) -> Option<Hold> {
    let (until, event) = events::event(&clause.until, protocol, schemes, diagnostics)?;
    let scheme = protocol.scheme;
    if !matches!(event.kind, EventKind::Record | EventKind::StreamStart | EventKind::StreamChunk | EventKind::StreamEnd)
    {
        diagnostics.push(
            Diagnostic::error(Code::C24, format!("nobody knows whether `{}` will come", clause.until))
                .primary(clause.until.span, "")
                .note("what is held waits until it comes, and most conversations go without it")
                .help("hold until a record is complete or a stream has ended"),
        );
        return None;
    }
    if !scheme.can_follow(from, until) {
        diagnostics.push(
            Diagnostic::error(Code::C24, format!("`{}` cannot come while this is held", clause.until))
                .primary(clause.until.span, format!("comes after an answer of the side that does not get `{path}`"))
                .secondary(path.span, "held from here on")
                .note("a side that waits for an answer says nothing more, and the other does not answer what it has not got")
                .help(endings(from, scheme)),
        );
        return None;
    }
    Some(Hold { until, max: clause.max })
}

/// What a hold from an event on can be until.
fn endings(from: EventId, scheme: &ProtocolScheme) -> String {
    let behind = scheme.follows.get(usize::from(from.0)).map(Vec::as_slice).unwrap_or_default();
    let names: Vec<&str> = behind
        .iter()
        .filter_map(|id| scheme.events.get(usize::from(id.0)))
        .filter(|event| matches!(event.kind, EventKind::Record | EventKind::StreamEnd))
        .map(|event| event.name.as_str())
        .collect();
    match names.as_slice() {
        [] => {
            "nothing comes behind it without an answer: judge it with a rule on it, it waits for that anyway".to_owned()
        }
        names => format!("behind it come {}", names.join(", ")),
    }
}
