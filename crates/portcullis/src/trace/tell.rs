//! What an engine finds, as lines of a page.

use std::fmt::Write as _;
use std::sync::Arc;

use portcullis_engine::{Bound, Deed, EditOutcome, Flow, GateAction, Judgement, Mode, PacketInfo, Verdict, WhenMet};
use portcullis_grammar::Event;
use portcullis_lang::{Direction, EventKind};
use portcullis_policy::{Action, Reading, RuleInfo, Splice, StreamChange};
use portcullis_stream::{EndReason, FlowSummary, GapReason, StreamAnomaly};
use portcullis_wire::{LinkType, Network, TcpFlags, TcpSegment, Transport, decode};

use super::fields;
use super::page::{Kind, Page, Room};

/// An event of the conversation.
pub(crate) fn event(page: &mut Page, room: Room, flow: &Flow, packet: &PacketInfo<'_>, event: &Event<'_>) {
    if event.kind == EventKind::StreamChunk {
        page.flowing = page.flowing.saturating_add(event.size);
        return;
    }
    page.turn_to(event);
    if page.state != event.state_name() {
        event.state_name().clone_into(&mut page.state);
        let state = format!("-- {}", page.state);
        page.write(room, packet, Kind::State, state);
    }
    // The line of the state has told that.
    if matches!(event.kind, EventKind::Enter | EventKind::Leave) {
        return;
    }
    let mut line = name(flow, event);
    if event.kind == EventKind::StreamEnd {
        let _ = write!(line, " octets={} complete={}", page.flowing, event.complete);
        page.flowing = 0;
    }
    if !event.reason.is_empty() {
        let _ = write!(line, " reason={:?}", event.reason);
    }
    if let (Some(record), EventKind::Record) = (&event.record, event.kind)
        && let Some(kind) = event.scheme().events.get(usize::from(event.id.0))
    {
        fields::write(&mut line, (flow.protocol_name, event.event_name()), &kind.layout, record);
    }
    page.write_event(room, packet, event, line);
}

/// An event that was not told when it happened, because nobody had asked about its flow by then.
fn event_at_last(page: &mut Page, room: Room, flow: &Flow, packet: &PacketInfo<'_>, found: &Event<'_>) {
    let is_stream = matches!(found.kind, EventKind::StreamChunk | EventKind::StreamEnd);
    if !page.turn_to(found) {
        return;
    }
    if is_stream {
        let line = format!("{} (in {:?})", name(flow, found), found.state_name());
        page.write_event(room, packet, found, line);
        return;
    }
    event(page, room, flow, packet, found);
}

fn name(flow: &Flow, event: &Event<'_>) -> String {
    format!("{} {}.{}", side(event.direction), flow.protocol_name, event.event_name())
}

/// What the rules on an event come to.
pub(crate) fn readings(
    page: &mut Page,
    room: Room,
    flow: &Flow,
    packet: &PacketInfo<'_>,
    event: &Event<'_>,
    readings: &[(Arc<RuleInfo>, Reading)],
) {
    if event.kind == EventKind::StreamChunk {
        return;
    }
    event_at_last(page, room, flow, packet, event);
    let mut others = String::new();
    for (rule, reading) in readings {
        let _ = match reading {
            Reading::NotForFlow => Ok(()),
            Reading::Fails(test) => write!(others, " {} (test {test})", rule.id),
            Reading::Unknown(test) => write!(others, " {} (test {test} asks for what was not seen)", rule.id),
            Reading::Holds => {
                let holds = format!("    rule {} {}/{} holds", rule.id, rule.policy, rule.name);
                page.write_event(room, packet, event, holds);
                Ok(())
            }
        };
    }
    if !others.is_empty() {
        page.write_event(room, packet, event, format!("    rules that do not:{others}"));
    }
}

/// What a rule has decided.
pub(crate) fn judgement(
    page: &mut Page,
    room: Room,
    flow: &Flow,
    packet: &PacketInfo<'_>,
    event: &Event<'_>,
    judgement: &Judgement<'_>,
) {
    event_at_last(page, room, flow, packet, event);
    let decision = judgement.decision;
    let would = if decision.observe { "would " } else { "" };
    let mut what = match &decision.action {
        Action::Alert { severity, text } => format!("alert {severity} {text:?}"),
        Action::Log { text } => format!("log {text:?}"),
        Action::Refuse { text } => format!("{would}refuse {text:?}"),
        Action::Block { end, address, .. } => format!("{would}block {} {address}", end.name()),
        Action::EditRefused(why) => format!("{would}edit, refused: {why}"),
        action => format!("{would}{}", action.name()),
    };
    if let Action::Edit(splices) = &decision.action {
        splices.iter().for_each(|splice| change(&mut what, event, splice));
    }
    if let Action::EditStream(change) = &decision.action {
        stream_change(&mut what, change);
    }
    page.write_event(room, packet, event, format!("    => rule {}: {what}", decision.rule.id));
}

/// Appends which octets an edit takes out of a stream, and which it puts there.
fn change(line: &mut String, event: &Event<'_>, splice: &Splice) {
    let offset = event.begin.saturating_add(u64::from(splice.offset));
    let _ = write!(line, " [at octet {offset}: {} octets become ", splice.removed);
    fields::quoted(line, &splice.inserted);
    line.push(']');
}

/// Appends what becomes of a stream.
fn stream_change(line: &mut String, change: &StreamChange) {
    let octets = match change {
        StreamChange::Newlines => return line.push_str(" [newlines such as this one, to the end of the stream]"),
        StreamChange::Start(octets) => {
            line.push_str(" [at the start of the stream: ");
            octets
        }
        StreamChange::End { octets, .. } => {
            line.push_str(" [at the end of the stream: ");
            octets
        }
    };
    fields::quoted(line, octets);
    line.push(']');
}

/// What became of an edit in the way of the packets, where that is not what the rule has decided.
pub(crate) fn edited(page: &mut Page, room: Room, packet: &PacketInfo<'_>, rule: &RuleInfo, outcome: EditOutcome) {
    if outcome == EditOutcome::Impossible {
        let why = "the connection cannot be edited: it was there before the gate, or before its rules";
        page.write(room, packet, Kind::Note, format!("    => gate: no edit of rule {}, {why}", rule.id));
    }
}

/// What a gate has done about the flow.
pub(crate) fn action(page: &mut Page, room: Room, flow: &Flow, packet: &PacketInfo<'_>, action: GateAction) {
    let text = match (&flow.verdict, action) {
        (Verdict::Refuse(text), GateAction::Refused) => format!(" {:?}", &**text),
        _ => String::new(),
    };
    page.write(room, packet, Kind::Note, format!("    => gate: {}{text}", action.name()));
}

/// What a gate has done about a packet.
pub(crate) fn deed(page: &mut Page, room: Room, flow: &Flow, packet: &PacketInfo<'_>, deed: Deed, mode: Mode) {
    let would = match mode {
        Mode::Enforce => "",
        Mode::Observe => "would be ",
    };
    let what = match deed {
        Deed::Changed(changes) => {
            let names: Vec<&str> = changes.iter().map(|change| change.name()).collect();
            format!("{would}changed by the normaliser ({})", names.join(", "))
        }
        Deed::Dropped(reason) => format!("{would}dropped by the normaliser ({reason})"),
        Deed::Stopped => format!("{would}dropped: a rule has stopped the flow"),
        Deed::Answered => format!("{would}dropped: the gate answers it"),
        Deed::Held => format!("{would}held until an answer tells what it is"),
        Deed::HeldInPart => format!("{would}let through up to what an answer has to tell of; the rest is held"),
        Deed::Reissued => "sent again by the gate, which edits or serialises the connection".to_owned(),
    };
    let sender = sender(flow, packet).map_or("", side);
    page.write_deed(room, packet, &format!("gate: packet of the {sender} {what}"), 0, b"");
}

/// A packet that a gate sends in the name of a side.
pub(crate) fn own_packet(page: &mut Page, room: Room, flow: &Flow, packet: &PacketInfo<'_>, octets: &[u8]) {
    let Network::Ip(ip) = decode(LinkType::RawIp, octets).network else { return };
    let Transport::Tcp(segment) = ip.transport() else { return };
    let from = match (ip.source, segment.source_port) == (flow.key.client.ip(), flow.key.client.port()) {
        true => Direction::Up,
        false => Direction::Down,
    };
    let flags = flags(&segment);
    let text = format!("gate to {}, in the {}'s name: {flags}", side(from.other()), side(from));
    // What clients say may be a password, or somebody's mail.
    let shown = if from == Direction::Down { segment.payload } else { &[] };
    page.write_deed(room, packet, &text, segment.payload.len() as u64, shown);
}

/// The flags of a segment, by name; PSH changes nothing for people.
fn flags(segment: &TcpSegment<'_>) -> String {
    let named = [(TcpFlags::SYN, "SYN"), (TcpFlags::RST, "RST"), (TcpFlags::FIN, "FIN"), (TcpFlags::ACK, "ACK")];
    let set = named.into_iter().filter(|(flag, _)| segment.flags.contains(*flag)).map(|(_, name)| name);
    set.collect::<Vec<_>>().join(" ")
}

/// Something is odd about a segment.
pub(crate) fn anomaly(
    page: &mut Page,
    room: Room,
    packet: &PacketInfo<'_>,
    direction: Direction,
    anomaly: StreamAnomaly,
    offset: u64,
) {
    note(page, room, packet, format!("{direction} stream.{anomaly} at octet {offset}"));
}

/// Octets are missing.
pub(crate) fn gap(
    page: &mut Page,
    room: Room,
    packet: &PacketInfo<'_>,
    direction: Direction,
    offset: u64,
    length: u64,
    reason: GapReason,
) {
    page.write(room, packet, Kind::Note, format!("{direction} {length} octets are missing at {offset} ({reason})"));
}

/// A packet of a side has a wrong checksum, and nobody looks at it.
pub(crate) fn wrong_checksum(page: &mut Page, room: Room, sender: Direction, packet: &PacketInfo<'_>) {
    let text = format!("gate: packet of the {} dropped, unread: its checksum is wrong", side(sender));
    page.write_deed(room, packet, &text, 0, b"");
}

/// A line that stands by itself.
pub(crate) fn note(page: &mut Page, room: Room, packet: &PacketInfo<'_>, text: String) {
    page.write(room, packet, Kind::Note, text);
}

/// A bound was met.
pub(crate) fn limit(page: &mut Page, room: Room, packet: &PacketInfo<'_>, bound: Bound, when_met: WhenMet) {
    let text = format!("the bound {} is met, verdict {}: not inspected from here on", bound.name(), when_met.name());
    page.write(room, packet, Kind::Note, text);
}

/// It is dropped because a rule has blocked an address.
pub(crate) fn blocked(page: &mut Page, room: Room, packet: &PacketInfo<'_>, rule: &RuleInfo) {
    let text = format!("    => gate: blocked, rule {} {}/{}", rule.id, rule.policy, rule.name);
    page.write(room, packet, Kind::Note, text);
}

/// It has ended.
pub(crate) fn ended(
    page: &mut Page,
    room: Room,
    flow: &Flow,
    summary: &FlowSummary,
    reason: EndReason,
    packet: &PacketInfo<'_>,
) {
    let [up, down] = &summary.statistics.directions;
    let verdict = verdict(flow);
    let end = format!(
        "-- end ({reason}), verdict {verdict}; client {} octets in {} packets, server {} in {}",
        up.delivered, up.packets, down.delivered, down.packets
    );
    page.write(room, &PacketInfo { number: 0, ..*packet }, Kind::Note, end);
}

/// The verdict about a flow, with what its client is told.
pub(crate) fn verdict(flow: &Flow) -> String {
    match &flow.verdict {
        Verdict::Refuse(text) => format!("refuse {text:?}"),
        verdict => verdict.name().to_owned(),
    }
}

fn side(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "client",
        Direction::Down => "server",
    }
}

/// Who has sent a packet of a flow.
fn sender(flow: &Flow, packet: &PacketInfo<'_>) -> Option<Direction> {
    let Network::Ip(ip) = decode(packet.link, packet.data).network else { return None };
    let port = match ip.transport() {
        Transport::Tcp(segment) => segment.source_port,
        Transport::Udp(datagram) => datagram.source_port,
        _ => return None,
    };
    let is_client = (ip.source, port) == (flow.key.client.ip(), flow.key.client.port());
    Some(if is_client { Direction::Up } else { Direction::Down })
}
