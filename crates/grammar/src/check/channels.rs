//! C16: a channel that is left open on a way to the end, or written to after its end.
//!
//! For each state it is computed whether the channel may be open when the state is entered. What ends a conversation by
//! itself (a parse error, a gap, a time that passes) aborts what is open; a rule that leads to `finish` or `fail` on an
//! event has to say which of the two it is.

use portcullis_lang::{Code, Diagnostic, Diagnostics, EventId, Span};

use crate::model::{Action, Channel, ChannelId, Expect, Protocol, State, Target, Transition, Trigger};

use super::walk::{self, Said};

/// More rules on a way than this are not printed.
const SHOWN_STATES: usize = 6;

pub(super) fn check(protocol: &Protocol, diagnostics: &mut Diagnostics) {
    for (at, channel) in protocol.channels.iter().enumerate() {
        let Ok(id) = u16::try_from(at) else { continue };
        of_channel(protocol, ChannelId(id), channel, diagnostics);
    }
}

fn of_channel(protocol: &Protocol, id: ChannelId, channel: &Channel, diagnostics: &mut Diagnostics) {
    let states = &protocol.machine.states;
    let feeds: Vec<Vec<EventId>> = states.iter().map(|state| feeding(protocol, state, id)).collect();
    let written = feeds.iter().any(|feed| !feed.is_empty());
    let ended = states.iter().flat_map(|state| &state.rules).any(|rule| ends(rule, id));
    if !written {
        return;
    }
    if !ended {
        diagnostics.push(
            Diagnostic::error(Code::C16, format!("channel `{}` is never closed", channel.name))
                .primary(channel.span, "written to, and no rule says when it is complete")
                .help(format!("write `{{ close {} }}` at the rule with which its stream is complete", channel.name)),
        );
        return;
    }
    let open = open_states(states, id, &feeds);
    let mut seen: Vec<Span> = Vec::new();
    for (at, state) in states.iter().enumerate() {
        let Some(feed) = feeds.get(at) else { continue };
        for rule in &state.rules {
            let by_event = |trigger: &Trigger| matches!(trigger, Trigger::Event(_));
            if !rule.triggers.iter().any(by_event) || seen.contains(&rule.span) {
                continue;
            }
            let may_be_open = !feed.is_empty() || open.get(at).is_some_and(Option::is_some);
            let last = matches!(rule.target, Target::Finish(_) | Target::Fail(_));
            if last && may_be_open && !ends(rule, id) {
                seen.push(rule.span);
                diagnostics.push(left_open(protocol, channel, rule, &way(states, &open, at)));
            }
            // The stream goes on after the rule, and so does its writing.
            let stream_ended =
                rule.triggers.iter().all(|trigger| matches!(trigger, Trigger::Event(event) if feed.contains(event)));
            if !feed.is_empty() && ends(rule, id) && matches!(rule.target, Target::Stay) && !stream_ended {
                seen.push(rule.span);
                diagnostics.push(written_after(channel, state, rule));
            }
        }
    }
}

/// The ends of the streams of a state that go to a channel.
fn feeding(protocol: &Protocol, state: &State, id: ChannelId) -> Vec<EventId> {
    let mut ends = Vec::new();
    for expect in &state.expects {
        walk::each_said(expect, &mut |said| {
            if let Said::Stream(stream) = said {
                let stream = walk::stream(protocol, stream).filter(|stream| stream.channel == Some(id));
                ends.extend(stream.map(|stream| stream.events.end));
            }
        });
    }
    ends
}

fn ends(rule: &Transition, id: ChannelId) -> bool {
    rule.actions.iter().any(|action| matches!(action, Action::Close(ended) | Action::Abort(ended) if *ended == id))
}

/// For each state that may be entered with the channel open: from which state.
fn open_states(states: &[State], id: ChannelId, feeds: &[Vec<EventId>]) -> Vec<Option<usize>> {
    let mut open: Vec<Option<usize>> = vec![None; states.len()];
    let fed = |at: &usize| feeds.get(*at).is_some_and(|feed| !feed.is_empty());
    let mut to_do: Vec<usize> = (0..states.len()).filter(fed).collect();
    while let Some(at) = to_do.pop() {
        let Some(state) = states.get(at) else { continue };
        let timeout = state.timeout.as_ref().map(|(_, target)| target);
        let targets = state.rules.iter().filter(|rule| !ends(rule, id)).map(|rule| &rule.target).chain(timeout);
        for target in targets {
            if let Target::State(next) = target
                && let Some(entry) = open.get_mut(usize::from(next.0)).filter(|entry| entry.is_none())
            {
                *entry = Some(at);
                to_do.push(usize::from(next.0));
            }
        }
    }
    open
}

/// The states on a way to a state with the channel open, in order.
fn way(states: &[State], open: &[Option<usize>], to: usize) -> Vec<String> {
    let mut way = Vec::new();
    let mut at = Some(to);
    while let Some(state) = at.filter(|_| way.len() < SHOWN_STATES) {
        let name = states.get(state).map(|state| state.name.clone()).unwrap_or_default();
        if way.contains(&name) {
            break;
        }
        way.push(name);
        at = open.get(state).copied().flatten();
    }
    way.reverse();
    way
}

fn left_open(protocol: &Protocol, channel: &Channel, rule: &Transition, way: &[String]) -> Diagnostic {
    let target = match &rule.target {
        Target::Fail(_) => "fail",
        _ => "finish",
    };
    let other = match &rule.target {
        Target::Finish(Some(other)) => format!(", and `{other}` takes over"),
        _ => String::new(),
    };
    let streams = protocol.streams.iter().find(|stream| {
        stream
            .channel
            .is_some_and(|id| protocol.channels.get(usize::from(id.0)).is_some_and(|fed| fed.name == channel.name))
    });
    let mut diagnostic = Diagnostic::warning(Code::C16, format!("channel `{}` may be left open", channel.name))
        .primary(rule.span, format!("leads to `{target}`{other}, and does not say what becomes of it"));
    if let Some(stream) = streams {
        diagnostic = diagnostic.secondary(stream.span, format!("`{}` writes to it", stream.name));
    }
    diagnostic
        .note(format!("A way that shows it: {}, {target}.", way.join(", ")))
        .note("What is open when the conversation ends counts as incomplete; say so, or say that it is complete.")
        .help(format!("write `{{ abort {} }}` before the arrow, or `{{ close {} }}`", channel.name, channel.name))
}

fn written_after(channel: &Channel, state: &State, rule: &Transition) -> Diagnostic {
    let side = state.expects.iter().position(|expect| !matches!(expect, Expect::Nothing | Expect::Waits { .. }));
    let side = if side == Some(0) { "client" } else { "server" };
    Diagnostic::error(Code::C16, format!("channel `{}` is written to after its end", channel.name))
        .primary(rule.span, "ends it, and stays in the state ...")
        .secondary(state.span, format!("... in which the {side} is still writing to it"))
        .note("The octets that come after it would begin another stream, in the middle.")
        .help("lead to a state in which the stream is not expected, or end the channel when the stream has ended")
}
