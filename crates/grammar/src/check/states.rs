//! C3: states that cannot be reached, that cannot be left, and in which nothing can happen.

use portcullis_lang::{Code, Diagnostic, Diagnostics, Direction};

use crate::model::{Expect, Protocol, Source, State, Target, Trigger};

use super::walk;

pub(super) fn check(protocol: &Protocol, diagnostics: &mut Diagnostics) {
    let machine = &protocol.machine;
    let Some(start) = machine.start else { return };
    let mut reached = vec![false; machine.states.len()];
    let mut to_do: Vec<usize> = vec![usize::from(start.0)];
    to_do.extend(machine.join.iter().map(|(state, _)| usize::from(state.0)));
    while let Some(at) = to_do.pop() {
        match reached.get_mut(at) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        to_do.extend(machine.states.get(at).into_iter().flat_map(targets));
    }
    for (at, state) in machine.states.iter().enumerate() {
        if walk::is_last(protocol, at) {
            continue;
        }
        if !reached.get(at).copied().unwrap_or(true) {
            diagnostics.push(unreachable(protocol, at, state));
        } else if nothing_can_happen(state) {
            diagnostics.push(nothing_happens(state));
        } else if stuck(protocol, at, state) {
            diagnostics.push(no_way_out(protocol, state));
        }
    }
}

/// The states that a state leads to.
fn targets(state: &State) -> impl Iterator<Item = usize> + '_ {
    let timeout = state.timeout.as_ref().map(|(_, target)| target);
    state.rules.iter().map(|rule| &rule.target).chain(timeout).filter_map(|target| match target {
        Target::State(id) => Some(usize::from(id.0)),
        Target::Stay | Target::Fail(_) | Target::Finish(_) => None,
    })
}

fn unreachable(protocol: &Protocol, at: usize, state: &State) -> Diagnostic {
    let diagnostic = Diagnostic::error(Code::C3, format!("state `{}` cannot be reached", state.name));
    let machine = &protocol.machine;
    let from_itself =
        state.rules.iter().find(|rule| matches!(rule.target, Target::State(id) if usize::from(id.0) == at));
    let diagnostic = match from_itself {
        Some(rule) => diagnostic.primary(state.span, "").secondary(rule.span, "only the state itself leads to it"),
        None => diagnostic.primary(state.span, "no rule leads here"),
    };
    let start = machine.start.and_then(|start| machine.states.get(usize::from(start.0)));
    let start = start.map_or("the first state", |start| start.name.as_str());
    diagnostic.help(format!(
        "lead a rule to it with `-> {}`, from `{start}` or a state that it reaches, or leave the state out",
        state.name
    ))
}

/// Whether no side may speak, so that nothing but time can change that.
fn nothing_can_happen(state: &State) -> bool {
    let leaves_at_once = |trigger: &Trigger| matches!(trigger, Trigger::Enter | Trigger::MissingGrammar);
    let ways = |rule: &&crate::model::Transition| {
        !matches!(rule.target, Target::Stay)
            && rule.triggers.iter().any(leaves_at_once)
            && rule.span.start >= state.span.start
            && rule.span.end <= state.span.end
    };
    let waits = state.expects.iter().any(|expect| matches!(expect, Expect::Waits { .. }));
    !state.expects.iter().any(walk::may_speak)
        && state.rules.iter().find(ways).is_none()
        && (waits || state.timeout.is_none())
}

fn nothing_happens(state: &State) -> Diagnostic {
    let waiting = |direction: Direction| matches!(state.expects.get(direction.index()), Some(Expect::Waits { .. }));
    let why = match (waiting(Direction::Up), waiting(Direction::Down)) {
        (true, true) => "each side waits for the other, and neither is expected to speak",
        (true, false) => "the client waits for the server, and the server is not expected to speak",
        (false, true) => "the server waits for the client, and the client is not expected to speak",
        (false, false) => "neither side is expected to speak, and no time ends it",
    };
    let help = match (waiting(Direction::Up), waiting(Direction::Down)) {
        (true, false) => "add the grammar of the server's side, e.g. `down reply`",
        (false, true) => "add the grammar of the client's side, e.g. `up command`",
        (true, true) => "let one side speak: write its grammar in place of one `waits`",
        (false, false) => "add what a side says (`up command`, `down reply`), or `on timeout 30 s -> finish`",
    };
    Diagnostic::error(Code::C3, format!("nothing can happen in state `{}`", state.name))
        .primary(state.span, why)
        .help(help)
}

/// Whether a state of several can never be left, and not all that may follow is expected in it.
///
/// A conversation may stay in a state in which both sides speak (DNS has but one), and one that ends with the flow.
fn stuck(protocol: &Protocol, at: usize, state: &State) -> bool {
    let only = protocol.machine.states.len() <= 3;
    let both_speak = state.expects.iter().all(walk::may_speak);
    let by_event = |trigger: &Trigger| matches!(trigger, Trigger::Event(_) | Trigger::Enter);
    let leaves = state.rules.iter().any(|rule| walk::leaves(&rule.target, at) && rule.triggers.iter().any(by_event));
    !only && !both_speak && !leaves && state.timeout.is_none() && !state.expects.iter().any(|it| to_end(protocol, it))
}

/// Whether a side may speak until it closes its direction.
fn to_end(protocol: &Protocol, expect: &Expect) -> bool {
    let mut to_end = false;
    walk::each_said(expect, &mut |said| {
        if let walk::Said::Stream(id) = said {
            to_end |= walk::stream(protocol, id).is_some_and(|stream| matches!(stream.source, Source::ToEnd));
        }
    });
    to_end
}

fn no_way_out(protocol: &Protocol, state: &State) -> Diagnostic {
    let speaks = state.expects.iter().position(walk::may_speak);
    let (speaker, other) = match speaks {
        Some(0) => ("client", "server"),
        _ => ("server", "client"),
    };
    let mut said = None;
    for expect in &state.expects {
        walk::each_said(expect, &mut |one| {
            if let walk::Said::Record(expected) = one {
                said.get_or_insert(expected.event);
            }
        });
    }
    let event = said.map_or("record", |event| walk::event_name(protocol, event));
    Diagnostic::error(Code::C3, format!("state `{}` has no way out", state.name))
        .primary(state.span, format!("only the {speaker} is expected to speak, for ever"))
        .note(format!("Once the {speaker} has said its part, the {other} can never say anything again: the next octet from it ends the dissection."))
        .help(format!("say where it ends, e.g. `on {event} -> finish`, or after what time: `on timeout 5 min -> finish`"))
}
