//! What rules do to flows beside dropping them: refusals, and blocks of addresses.

use std::sync::Arc;

use portcullis_lang::scheme::{Refusal, connection_slots};
use portcullis_lang::{
    Code, Diagnostic, Diagnostics, EventId, EventKind, EventType, Host, Place, ProtocolScheme, Scope, Text, Value,
};

use crate::decision::{Action, FlowEnd};
use crate::limits::MAX_REFUSAL;
use crate::syntax::{BlockClause, RuleItem, VerdictClause};

/// `block KEY for TIME`, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    end: FlowEnd,
    /// In nanoseconds.
    time: i64,
}

impl Block {
    /// What it wants done about a flow; nothing if the address is not known.
    pub(crate) fn action(&self, host: &dyn Host) -> Option<Action> {
        let slot = match self.end {
            FlowEnd::Client => connection_slots::CLIENT_ADDRESS,
            FlowEnd::Server => connection_slots::SERVER_ADDRESS,
        };
        match host.read(Place { scope: Scope::Connection, slot }) {
            Value::Address(address) => Some(Action::Block { end: self.end, address, time: self.time }),
            _ => None,
        }
    }
}

/// Checks what is blocked.
pub(crate) fn block(clause: &BlockClause, diagnostics: &mut Diagnostics) -> Option<Block> {
    let end = match clause.key.to_string().as_str() {
        "client" | "client.address" => FlowEnd::Client,
        "server" | "server.address" => FlowEnd::Server,
        other => {
            diagnostics.push(
                Diagnostic::error(Code::C11, format!("flows cannot be blocked by `{other}`"))
                    .primary(clause.key.span, "")
                    .help("`block client.address for 1 h` drops new flows from this client, `block server.address for 1 h` those to this server"),
            );
            return None;
        }
    };
    Some(Block { end, time: i64::try_from(clause.time).unwrap_or(i64::MAX) })
}

/// The verdict of a rule.
pub(crate) fn verdict(rule: &RuleItem) -> Option<Action> {
    let (clause, _) = rule.verdict?;
    Some(match clause {
        VerdictClause::Pass => Action::Pass,
        VerdictClause::Drop => Action::Drop,
        VerdictClause::Reset => Action::Reset,
        VerdictClause::Bypass => Action::Bypass,
        VerdictClause::Refuse => {
            Action::Refuse { text: Arc::from(rule.refusal.as_ref().map(Text::lossy).unwrap_or_default()) }
        }
    })
}

/// Whether the rule may refuse on an event; reports why not (C17).
pub(crate) fn allowed(
    rule: &RuleItem,
    id: EventId,
    event: &EventType,
    scheme: &ProtocolScheme,
    diagnostics: &mut Diagnostics,
) -> bool {
    let (Some((VerdictClause::Refuse, place)), Some(text)) = (rule.verdict, &rule.refusal) else { return true };
    let name = &scheme.name;
    let Some(refusal) = &scheme.refusal else {
        diagnostics.push(
            Diagnostic::error(Code::C17, format!("{name} has no way to refuse"))
                .primary(place, "its grammar has no `refuse with RECORD`")
                .help("`reset` tells both sides that the connection is broken, `drop` says nothing"),
        );
        return false;
    };
    if let Some(label) = unfit(text, refusal) {
        diagnostics.push(
            Diagnostic::error(Code::C17, format!("this is no `{}` with which {name} refuses", refusal.record))
                .primary(text.span, label)
                .help(format!(
                    "a code of three digits from {} to {}, a blank, and a sentence: `refuse \"550 5.7.1 not accepted\"`",
                    refusal.least, refusal.most
                )),
        );
        return false;
    }
    let over = event.kind == EventKind::Finish;
    let elsewhere = !event.states.is_empty() && event.states.iter().all(|state| refusal.not_in.contains(state));
    if over || elsewhere || refusal.not_on.contains(&id) {
        diagnostics.push(
            Diagnostic::error(Code::C17, format!("nobody would understand a refusal on `{name}.{}`", event.name))
                .primary(place, "another protocol has taken over by then, or is about to")
                .help("`reset` tells both sides that the connection is broken"),
        );
        return false;
    }
    true
}

/// Why a text is no line that refuses.
fn unfit(text: &Text, refusal: &Refusal) -> Option<String> {
    let bytes = text.bytes.as_slice();
    let code = bytes.get(..3).filter(|code| code.iter().all(u8::is_ascii_digit));
    let code = code.map(|code| code.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0')));
    match code {
        None => return Some("it does not begin with three digits".into()),
        Some(code) if !(refusal.least..=refusal.most).contains(&code) => {
            return Some(format!("{code} does not refuse"));
        }
        Some(_) if bytes.get(3).is_some_and(|octet| *octet != b' ') => {
            return Some("no blank behind the code".into());
        }
        Some(_) => {}
    }
    if bytes.len() > MAX_REFUSAL {
        return Some(format!("{} octets, more than {MAX_REFUSAL}", bytes.len()));
    }
    let odd = bytes.iter().find(|octet| !matches!(octet, b' '..=b'~'));
    odd.map(|octet| format!("`{}` cannot be said in one line of printable ASCII", octet.escape_ascii()))
}
