//! Conversations for tests: what is said goes in, what is told comes out as lines of text.

#![allow(dead_code, reason = "not every test uses everything")]

pub(crate) mod conversations;

use std::sync::Arc;

use portcullis_grammar::{Dialogue, Event, Program, Scratch, load};
use portcullis_lang::{Direction, EventKind, Sources, Value, render_all};

pub(crate) const SMTP: &str = include_str!("../../../../grammars/smtp.grammar");

/// Loads a grammar and makes its programs.
pub(crate) fn program(text: &str) -> Program {
    let mut sources = Sources::new();
    match load(&mut sources, "test.grammar", text) {
        Ok((protocol, _)) => Program::compile(Arc::new(protocol)),
        Err(diagnostics) => panic!("{}", render_all(&diagnostics, &sources, false)),
    }
}

/// SMTP, loaded once.
pub(crate) fn smtp() -> &'static Program {
    static SMTP_PROGRAM: std::sync::OnceLock<Program> = std::sync::OnceLock::new();
    SMTP_PROGRAM.get_or_init(|| program(SMTP))
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) direction: Direction,
    pub(crate) kind: EventKind,
    /// Name of the event.
    pub(crate) name: String,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    /// The fields of a record, `verb=MAIL`; the reason of a failure; the octets of a chunk.
    pub(crate) details: String,
    /// What the flow keeps at that time.
    pub(crate) flow: String,
    pub(crate) state: String,
    pub(crate) complete: bool,
}

impl Told {
    pub(crate) fn of(event: &Event<'_>) -> Told {
        let mut details = String::new();
        if event.kind == EventKind::Record {
            let layout = &event.scheme().events[usize::from(event.id.0)].layout;
            if let Some(record) = &event.record {
                for field in &layout.fields {
                    show(&mut details, &field.path, &record.value(field.slot));
                }
            }
        }
        details.push_str(&event.data.escape_ascii().to_string());
        details.push_str(event.reason);
        let mut flow = String::new();
        for field in &event.scheme().flow.fields {
            show(&mut flow, &field.path, &event.flow_value(field.slot));
        }
        Told {
            direction: event.direction,
            kind: event.kind,
            name: event.event_name().to_owned(),
            offset: event.offset,
            size: event.size,
            details,
            flow,
            state: event.state_name().to_owned(),
            complete: event.complete,
        }
    }
}

pub(crate) fn show(text: &mut String, path: &str, value: &Value<'_>) {
    use std::fmt::Write as _;
    let _ = match value {
        Value::Absent => Ok(()),
        Value::Unknown => write!(text, "{path}=? "),
        Value::Boolean(value) => write!(text, "{path}={value} "),
        Value::Number(number) => write!(text, "{path}={number} "),
        Value::Bytes(bytes) => write!(text, "{path}={} ", bytes.escape_ascii()),
        Value::Address(address) => write!(text, "{path}={address} "),
    };
}

/// A conversation in progress.
pub(crate) struct Talk<'p> {
    pub(crate) program: &'p Program,
    pub(crate) dialogue: Dialogue,
    scratch: Scratch,
    now: i64,
    pub(crate) told: Vec<Told>,
}

impl<'p> Talk<'p> {
    pub(crate) fn new(program: &'p Program) -> Talk<'p> {
        Talk::begin(program, false)
    }

    pub(crate) fn midstream(program: &'p Program) -> Talk<'p> {
        Talk::begin(program, true)
    }

    fn begin(program: &'p Program, midstream: bool) -> Talk<'p> {
        let dialogue = Dialogue::new(program, midstream, 0);
        Talk { program, dialogue, scratch: Scratch::default(), now: 0, told: Vec::new() }
    }

    pub(crate) fn say(&mut self, direction: Direction, octets: &[u8]) -> &mut Self {
        self.now += 1_000_000;
        let told = &mut self.told;
        let mut sink = |event: &Event<'_>| told.push(Told::of(event));
        self.dialogue.octets(self.program, &mut self.scratch, direction, octets, self.now, &mut sink);
        self
    }

    pub(crate) fn up(&mut self, text: &str) -> &mut Self {
        self.say(Direction::Up, text.as_bytes())
    }

    pub(crate) fn down(&mut self, text: &str) -> &mut Self {
        self.say(Direction::Down, text.as_bytes())
    }

    pub(crate) fn gap(&mut self, direction: Direction, octets: u64) -> &mut Self {
        let told = &mut self.told;
        let mut sink = |event: &Event<'_>| told.push(Told::of(event));
        self.dialogue.gap(self.program, &mut self.scratch, direction, octets, &mut sink);
        self
    }

    pub(crate) fn end(&mut self, direction: Direction) -> &mut Self {
        let told = &mut self.told;
        let mut sink = |event: &Event<'_>| told.push(Told::of(event));
        self.dialogue.end(self.program, &mut self.scratch, direction, &mut sink);
        self
    }

    pub(crate) fn close(&mut self) -> &mut Self {
        let told = &mut self.told;
        let mut sink = |event: &Event<'_>| told.push(Told::of(event));
        self.dialogue.close(self.program, &mut self.scratch, &mut sink);
        self
    }

    /// Lets so many seconds pass.
    pub(crate) fn pass(&mut self, seconds: i64) -> &mut Self {
        self.now += seconds * 1_000_000_000;
        let told = &mut self.told;
        let mut sink = |event: &Event<'_>| told.push(Told::of(event));
        self.dialogue.tick(self.program, &mut self.scratch, self.now, &mut sink);
        self
    }

    /// What was told since the last call: one word or two for each event, without enter and leave.
    pub(crate) fn news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told).iter().filter_map(brief).collect()
    }

    pub(crate) fn state(&self) -> &str {
        &self.program.protocol().scheme.states[usize::from(self.dialogue.state_id().0)]
    }
}

/// `command MAIL`, `reply 250`, `bare_lf`, `gap 10 up`, `fail: why`.
pub(crate) fn brief(told: &Told) -> Option<String> {
    let value = |path: &str| {
        let found = told.details.split_once(&format!("{path}=")).map(|found| found.1);
        found.and_then(|rest| rest.split_whitespace().next()).unwrap_or_default()
    };
    let direction = told.direction;
    Some(match told.kind {
        EventKind::Enter | EventKind::Leave => return None,
        EventKind::Record => match told.name.as_str() {
            "command" => format!("command {}", value("verb")),
            "reply" => format!("reply {}", value("code")),
            name => format!("{name} {}", told.details.trim()),
        },
        EventKind::StreamChunk => format!("{} {}", told.name, told.details),
        EventKind::StreamEnd if told.complete => told.name.clone(),
        EventKind::StreamEnd => format!("{} cut", told.name),
        EventKind::Gap => format!("gap {} {direction}", told.size),
        EventKind::Fail => format!("fail: {}", told.details),
        EventKind::Finish => format!("finish {}", told.details).trim().to_owned(),
        EventKind::MissingGrammar | EventKind::ParseError | EventKind::Overrun => format!("{} {direction}", told.name),
        _ => told.name.clone(),
    })
}

/// Pieces of a conversation, in the order in which they came.
pub(crate) type Pieces = Vec<(Direction, Vec<u8>)>;

/// What is told of a conversation, the chunks of each stream put together where it ends.
pub(crate) fn converse(program: &Program, pieces: &[(Direction, &[u8])]) -> Vec<Told> {
    let mut talk = Talk::new(program);
    for (direction, octets) in pieces {
        talk.say(*direction, octets);
    }
    talk.end(Direction::Up).end(Direction::Down).close();
    merged(talk.told)
}

fn merged(told: Vec<Told>) -> Vec<Told> {
    let mut chunks: Vec<(String, String)> = Vec::new();
    let mut merged = Vec::new();
    for mut event in told {
        match event.kind {
            EventKind::StreamChunk => {
                let stream = event.name.trim_end_matches(".chunk").to_owned();
                match chunks.iter_mut().find(|(name, _)| *name == stream) {
                    Some((_, content)) => content.push_str(&event.details),
                    None => chunks.push((stream, event.details)),
                }
                continue;
            }
            EventKind::StreamEnd => {
                if let Some(index) = chunks.iter().position(|(name, _)| *name == event.name) {
                    event.details = chunks.remove(index).1;
                }
            }
            _ => {}
        }
        merged.push(event);
    }
    assert_eq!(chunks, [], "every stream has an end");
    merged
}

/// Every cut of each piece in two, one octet at a time, and these places.
pub(crate) fn cuttings<'a>(pieces: &'a Pieces, random: &[u16]) -> Vec<Vec<(Direction, &'a [u8])>> {
    let mut all = Vec::new();
    for (index, (_, octets)) in pieces.iter().enumerate() {
        for cut in 1..octets.len() {
            let mut cutting: Vec<(Direction, &[u8])> = Vec::new();
            for (other, (direction, octets)) in pieces.iter().enumerate() {
                if other != index {
                    cutting.push((*direction, octets));
                } else {
                    let (one, two) = octets.split_at(cut);
                    cutting.extend([(*direction, one), (*direction, two)]);
                }
            }
            all.push(cutting);
        }
    }
    all.push(pieces.iter().flat_map(|(direction, octets)| octets.chunks(1).map(|octet| (*direction, octet))).collect());
    let mut sizes = random.iter().cycle();
    if !random.is_empty() {
        let mut cutting = Vec::new();
        for (direction, octets) in pieces {
            let mut rest = octets.as_slice();
            while !rest.is_empty() {
                let size = usize::from(*sizes.next().expect("a cycle has no end") % 40) + 1;
                let (one, two) = rest.split_at(size.min(rest.len()));
                cutting.push((*direction, one));
                rest = two;
            }
        }
        all.push(cutting);
    }
    all
}
