//! The story of one flow: its lines, within a bound.
//!
//! The beginning of a story stays, and so do its latest lines; what does not fit between them is left out, and it is said
//! how much that is.

use std::collections::VecDeque;
use std::fmt::Write as _;

use portcullis_engine::{Flow, PacketInfo};
use portcullis_grammar::Event;
use portcullis_lang::{Direction, EventId};
use portcullis_report::{EventIdentity, FlowIdentity, IsoTime};
use portcullis_stream::FlowKey;
use portcullis_wire::Timestamp;

use super::Wanted;
use super::fields::quoted;

/// Of the octets of a story, the beginning takes one of so many.
const BEGINNING: usize = 4;

/// How many lines before the end are looked at for one that tells the same: what a gate does, it does to both sides by turns.
const LOOK_BACK: usize = 6;

/// Whether there is room for more stories beside this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    /// A line has to take the place of an earlier one, or is left out.
    None,
}

/// What a line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The conversation is in another state.
    State,
    /// An event, or what rules make of it.
    Event,
    /// What a gate does. Lines of the same text become one.
    Gate,
    /// Everything else.
    Note,
}

/// Where in a flow something is.
type Place = (Direction, u64);

#[derive(Debug)]
struct Line {
    packet: u64,
    time: Timestamp,
    kind: Kind,
    place: Option<Place>,
    text: String,
    /// How many lines it stands for, how many octets they are about, and when the last of them was.
    times: u32,
    octets: u64,
    until: Timestamp,
}

impl Line {
    fn cost(&self) -> usize {
        size_of::<Line>().saturating_add(self.text.len())
    }
}

/// The story of one flow.
#[derive(Debug)]
pub(crate) struct Page {
    flow_id: u64,
    key: FlowKey,
    start: Timestamp,
    midstream: bool,
    /// Why the story begins later than the flow, and when.
    late: Option<(String, Timestamp)>,
    beginning: Vec<Line>,
    latest: VecDeque<Line>,
    octets: usize,
    beginning_octets: usize,
    most: usize,
    left_out: u64,
    /// Octets of a stream that is going on.
    pub(super) flowing: u64,
    pub(super) state: String,
    /// The event that was told last.
    told: Option<(EventId, Place)>,
}

impl Page {
    /// The story of a flow, of at most so many octets, and a line.
    pub(crate) fn new(flow: &Flow, most: usize) -> Page {
        Page {
            flow_id: FlowIdentity::new(flow.key, flow.start).flow_id(),
            key: flow.key,
            start: flow.start,
            midstream: flow.midstream,
            late: None,
            beginning: Vec::new(),
            latest: VecDeque::new(),
            octets: size_of::<Page>(),
            beginning_octets: 0,
            most,
            left_out: 0,
            flowing: 0,
            state: String::new(),
            told: None,
        }
    }

    /// Says that there was something before the first line.
    pub(crate) fn begins_late(&mut self, why: &str, now: Timestamp) {
        self.late.get_or_insert_with(|| (why.to_owned(), now));
    }

    /// Lets it become longer.
    pub(crate) fn extend(&mut self, most: usize) {
        self.most = self.most.max(most);
    }

    /// The flow's number in records.
    pub(crate) fn flow_id(&self) -> u64 {
        self.flow_id
    }

    /// Who talks to whom.
    pub(crate) fn key(&self) -> &FlowKey {
        &self.key
    }

    /// Whether it is the story of a flow that is meant.
    pub(crate) fn is_of(&self, wanted: &Wanted) -> bool {
        wanted.is(&self.key, || self.flow_id)
    }

    /// Octets of memory that it takes.
    pub(crate) fn octets(&self) -> usize {
        self.octets
    }

    /// Lines, and those that were left out.
    pub(crate) fn lines(&self) -> (usize, u64) {
        (self.beginning.len().saturating_add(self.latest.len()), self.left_out)
    }

    /// Notes which event is told; whether it was not told before.
    pub(super) fn turn_to(&mut self, event: &Event<'_>) -> bool {
        let told = Some((event.id, (event.direction, event.offset)));
        std::mem::replace(&mut self.told, told) != told
    }

    pub(super) fn write(&mut self, room: Room, packet: &PacketInfo<'_>, kind: Kind, text: String) {
        self.add(
            room,
            Line {
                packet: packet.number,
                time: packet.time,
                kind,
                place: None,
                text,
                times: 1,
                octets: 0,
                until: packet.time,
            },
        );
    }

    /// A line about an event.
    pub(super) fn write_event(&mut self, room: Room, packet: &PacketInfo<'_>, event: &Event<'_>, text: String) {
        let place = Some((event.direction, event.offset));
        let (number, time) = (packet.number, packet.time);
        self.add(room, Line { packet: number, time, kind: Kind::Event, place, text, times: 1, octets: 0, until: time });
    }

    /// A line about what a gate does, maybe with so many octets, of which some may be shown. If it has done the same just
    /// before, that is one line.
    pub(super) fn write_deed(&mut self, room: Room, packet: &PacketInfo<'_>, text: &str, octets: u64, shown: &[u8]) {
        let latest = self.latest.iter_mut().rev().chain(self.beginning.iter_mut().rev());
        let mut deeds = latest.take(LOOK_BACK).take_while(|line| line.kind == Kind::Gate);
        let same = |line: &&mut Line| match line.text.strip_prefix(text) {
            Some(rest) => rest.is_empty() || rest.starts_with(": \""),
            None => false,
        };
        if let Some(line) = deeds.find(same) {
            line.times = line.times.saturating_add(1);
            line.octets = line.octets.saturating_add(octets);
            line.until = packet.time;
            return;
        }
        let mut text = text.to_owned();
        if !shown.is_empty() {
            text.push_str(": ");
            quoted(&mut text, shown);
        }
        let (number, time) = (packet.number, packet.time);
        self.add(
            room,
            Line { packet: number, time, kind: Kind::Gate, place: None, text, times: 1, octets, until: time },
        );
    }

    fn add(&mut self, room: Room, line: Line) {
        let cost = line.cost();
        if room == Room::Enough && self.left_out == 0 && self.latest.is_empty() {
            let beginning = self.beginning_octets.saturating_add(cost);
            if beginning <= self.most / BEGINNING {
                self.beginning_octets = beginning;
                self.octets = self.octets.saturating_add(cost);
                self.beginning.push(line);
                return;
            }
        }
        let most = match room {
            Room::Enough => self.most,
            Room::None => self.octets,
        };
        while self.octets.saturating_add(cost) > most {
            let Some(oldest) = self.latest.pop_front() else {
                self.left_out = self.left_out.saturating_add(1);
                return;
            };
            self.octets = self.octets.saturating_sub(oldest.cost());
            self.left_out = self.left_out.saturating_add(1);
        }
        self.octets = self.octets.saturating_add(cost);
        self.latest.push_back(line);
    }

    /// The story, or what it says of one event: the states that led to it, what rules made of it, and what a gate did then.
    pub(crate) fn text(&self, event: Option<EventIdentity>) -> String {
        let place = event.map(|event| (event.direction, event.offset));
        let mut text = format!("flow {}  {}  began {}", self.flow_id, self.key, IsoTime(self.start));
        if self.midstream {
            text.push_str("  (joined in the middle)");
        }
        text.push('\n');
        if let Some((why, when)) = &self.late {
            let behind = Behind(self.start, *when);
            let _ = writeln!(text, "  the story begins later than the flow, at {behind}: {why}");
        }
        if let Some(event) = event {
            let _ = writeln!(text, "  only what is about the event {event}, and what led to it and away from it");
        }
        let mut reached = place.is_none();
        let mut shown = 0_u64;
        for line in &self.beginning {
            shown = shown.saturating_add(u64::from(self.show(&mut text, line, place, &mut reached)));
        }
        if self.left_out > 0 {
            let _ =
                writeln!(text, "  ... {} lines are left out here: a story is bounded (story_octets)", self.left_out);
        }
        for line in &self.latest {
            shown = shown.saturating_add(u64::from(self.show(&mut text, line, place, &mut reached)));
        }
        if let (Some(event), false) = (event, reached) {
            let _ = writeln!(text, "  the story says nothing of the event {event}");
        }
        let hidden = (self.lines().0 as u64).saturating_sub(shown);
        if hidden > 0 {
            let _ = writeln!(text, "  {hidden} other lines: ask for the flow {}", self.flow_id);
        }
        text
    }

    /// Appends a line, unless it is not about the event at a place; whether it was appended.
    fn show(&self, text: &mut String, line: &Line, place: Option<Place>, reached: &mut bool) -> bool {
        if let Some(place) = place {
            let is_here = line.place == Some(place);
            *reached |= is_here;
            let leads_away = *reached && matches!(line.kind, Kind::Gate | Kind::Note);
            let leads_here = line.kind == Kind::State && !*reached;
            if !is_here && !leads_away && !leads_here {
                return false;
            }
        }
        let packet = if line.packet == 0 { String::new() } else { line.packet.to_string() };
        let place = match line.place {
            Some((Direction::Up, offset)) => format!("c{offset}"),
            Some((Direction::Down, offset)) => format!("s{offset}"),
            None => String::new(),
        };
        let behind = Behind(self.start, line.time);
        let _ = write!(text, "  {packet:>6}  {behind:>12}  {place:<6}  {}", line.text);
        let _ = match (line.times, line.octets) {
            (1, 0) => Ok(()),
            (1, octets) => write!(text, " ({octets} octets)"),
            (times, octets) => {
                let until = Behind(self.start, line.until);
                let octets = if octets > 0 { format!(", {octets} octets") } else { String::new() };
                write!(text, " (and so {times} times, until {until}{octets})")
            }
        };
        text.push('\n');
        true
    }
}

/// A time, as what has passed since another.
struct Behind(Timestamp, Timestamp);

impl std::fmt::Display for Behind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = self.1.since(self.0);
        f.pad(&format!("+{}.{:06}", since.as_secs(), since.subsec_micros()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use portcullis_engine::Verdict;
    use portcullis_stream::{Envelope, FlowTable, Limits, StreamEvents};
    use portcullis_wire::{LinkType, Network, TcpFlags, TcpPacket, Transport, decode};

    use super::*;

    /// A flow from 192.0.2.1:1000 to 192.0.2.2:25.
    pub(crate) fn flow() -> Flow {
        flows(1000..1001).remove(0)
    }

    /// Flows from ports of 192.0.2.1 to 192.0.2.2:25.
    pub(crate) fn flows(ports: std::ops::Range<u16>) -> Vec<Flow> {
        let mut table = FlowTable::new(Limits::default(), None);
        ports
            .map(|port| {
                let packet = TcpPacket {
                    source: ([192, 0, 2, 1], port).into(),
                    destination: ([192, 0, 2, 2], 25).into(),
                    sequence: portcullis_wire::SequenceNumber(7),
                    acknowledgement: portcullis_wire::SequenceNumber(0),
                    flags: TcpFlags::SYN,
                    window: 100,
                    options: &[],
                    payload: &[],
                };
                let octets = packet.build().unwrap();
                let Network::Ip(ip) = decode(LinkType::RawIp, &octets).network else { panic!("IP") };
                let Transport::Tcp(view) = ip.transport() else { panic!("TCP") };
                let envelope = Envelope::new(Timestamp(0), 0, &ip);
                let id = table.tcp(&envelope, &view, &mut StreamEvents::new()).unwrap();
                let key = table.key(id).unwrap();
                Flow {
                    id,
                    key,
                    start: Timestamp(0),
                    midstream: false,
                    protocol: None,
                    protocol_name: "smtp",
                    generation: 0,
                    verdict: Verdict::Accept,
                    alerts: 0,
                    edits: Vec::new(),
                }
            })
            .collect()
    }

    fn at(number: u64) -> PacketInfo<'static> {
        PacketInfo { number, ..PacketInfo::of_time(Timestamp(number as i64 * 1_000_000)) }
    }

    #[test]
    fn the_beginning_and_the_latest_lines_stay_within_the_bound() {
        let most = 20_000;
        let mut page = Page::new(&flow(), most);
        for number in 1..=1000 {
            page.write(Room::Enough, &at(number), Kind::Note, format!("line {number}"));
            assert!(page.octets() <= most);
        }
        let text = page.text(None);
        for part in ["line 1\n", "line 2\n", "line 999\n", "line 1000\n", "lines are left out here: a story is bounded"]
        {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(!text.contains("line 500\n"));
        let (lines, left_out) = page.lines();
        assert_eq!(lines as u64 + left_out, 1000);
    }

    #[test]
    fn without_room_for_others_a_story_grows_no_more() {
        let mut page = Page::new(&flow(), 1 << 20);
        page.write(Room::None, &at(1), Kind::Note, "unheard".to_owned());
        assert_eq!(page.lines(), (0, 1));
        for number in 1..=100 {
            page.write(Room::Enough, &at(number), Kind::Note, format!("line {number:03}"));
        }
        let before = page.octets();
        for number in 101..=200 {
            page.write(Room::None, &at(number), Kind::Note, format!("line {number:03}"));
        }
        assert!(page.octets() <= before);
        assert!(page.text(None).contains("line 200"));
    }

    #[test]
    fn what_a_gate_repeats_is_one_line() {
        let mut page = Page::new(&flow(), 1 << 20);
        for number in 1..=50 {
            page.write_deed(Room::Enough, &at(number), "gate to client: ACK", 0, b"");
            page.write_deed(Room::Enough, &at(number), "gate to server: PSH ACK", 6, b"mail\r\n");
        }
        page.write(Room::Enough, &at(51), Kind::Note, "something else".to_owned());
        page.write_deed(Room::Enough, &at(52), "gate to client: ACK", 4, b"");
        let text = page.text(None);
        assert_eq!(page.lines(), (4, 0), "{text}");
        assert!(text.contains("gate to client: ACK (4 octets)\n"), "{text}");
        assert!(text.contains("gate to client: ACK (and so 50 times, until +0.050000)"), "{text}");
        assert!(text.contains(r#"PSH ACK: "mail\r\n" (and so 50 times, until +0.050000, 300 octets)"#), "{text}");
    }
}
