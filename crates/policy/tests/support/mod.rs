//! Schemes made by hand, so that tests of policies do not need a grammar, and hosts that answer from a table.

// Each test uses its part of it.
#![allow(dead_code, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use portcullis_lang::scheme::{
    AnomalyInfo, Canonical, Enumeration, LineStream, ListMark, RAW_SLOT, Refusal, Writable, WritableList,
    connection_slots, event_slots,
};
use portcullis_lang::{
    AnomalyId, CaseValue, Diagnostics, EventId, EventKind, EventType, FieldInfo, Host, Layout, Place, Presence,
    ProtocolScheme, Scope, Sources, StateId, Type, Value, render_all,
};
use portcullis_policy::{Compiled, Decision, ListRequest, Memory, Occurrence, PolicySet};

/// Builds a layout field by field.
pub(crate) struct LayoutBuilder {
    layout: Layout,
}

impl LayoutBuilder {
    pub(crate) fn new(name: &str) -> LayoutBuilder {
        LayoutBuilder { layout: Layout { name: name.into(), ..Layout::default() } }
    }

    pub(crate) fn field(self, path: &str, kind: Type) -> LayoutBuilder {
        self.with(path, kind, vec![])
    }

    /// A field that exists only if the first field is one of these words.
    pub(crate) fn of(self, verbs: &[&str], path: &str, kind: Type) -> LayoutBuilder {
        let values = verbs.iter().map(|verb| CaseValue::Text(verb.as_bytes().into())).collect();
        let case = Presence::Case { slot: 0, path: "verb".into(), values, negated: false };
        self.with(path, kind, vec![case])
    }

    fn with(mut self, path: &str, kind: Type, presence: Vec<Presence>) -> LayoutBuilder {
        let slot = self.layout.width;
        self.layout.fields.push(FieldInfo { path: path.into(), slot, kind, presence });
        self.layout.width += 1;
        self
    }

    pub(crate) fn build(self) -> Arc<Layout> {
        Arc::new(self.layout)
    }
}

const TEXT: Type = Type::Text { max: 4096 };
const NUMBER: Type = Type::Number { min: 0, max: i64::MAX };
const STATES: [&str; 6] = ["session_initiation", "command", "response", "data_transmission", "fail", "finish"];

/// A scheme as a small SMTP grammar would export it.
pub(crate) fn smtp() -> Arc<ProtocolScheme> {
    let option = LayoutBuilder::new("option").field("name", TEXT).field("value.text", TEXT).build();
    let command = LayoutBuilder::new("command")
        .field("verb", Type::Keyword { max: 4096 })
        .of(&["EHLO", "HELO", "LHLO"], "domain", TEXT)
        .of(&["MAIL"], "sender", Type::Group)
        .of(&["MAIL"], "sender.address", TEXT)
        .of(&["MAIL"], "sender.domain", TEXT)
        .of(&["RCPT"], "recipient.address", TEXT)
        .of(&["RCPT"], "recipient.user", TEXT)
        .of(&["RCPT"], "recipient.domain", TEXT)
        .of(&["MAIL", "RCPT"], "options", Type::List(option))
        .of(&["BDAT"], "size", NUMBER)
        .of(&["VRFY", "EXPN"], "argument", TEXT)
        .build();
    let line = LayoutBuilder::new("reply_line").field("code", NUMBER).field("text", TEXT).build();
    let reply = LayoutBuilder::new("reply").field("lines", Type::List(line)).field("code", NUMBER).build();
    let flow = LayoutBuilder::new("flow").field("asked", Type::Group).field("asked.verb", Type::Keyword { max: 4096 });
    let none = || Arc::new(Layout::default());
    let state = |name: &str| {
        let index = STATES.iter().position(|state| *state == name).expect("one of the states");
        StateId(u16::try_from(index).expect("few states"))
    };
    let mut events = Vec::new();
    let mut event = |name: &str, kind, layout, states: &[&str]| {
        let states = states.iter().map(|name| state(name)).collect();
        events.push(EventType { name: name.into(), kind, layout, states });
    };
    event("command", EventKind::Record, command, &["command", "response"]);
    event("reply", EventKind::Record, reply, &["session_initiation", "command", "response", "data_transmission"]);
    event("content.start", EventKind::StreamStart, none(), &["data_transmission"]);
    event("content.chunk", EventKind::StreamChunk, none(), &["data_transmission"]);
    event("content", EventKind::StreamEnd, none(), &["data_transmission"]);
    let anomalies = ["bare_lf", "ambiguous_end", "starttls_injection", "trailing_text"];
    for (number, name) in (0..).zip(anomalies) {
        event(name, EventKind::Anomaly(AnomalyId(number)), none(), &[]);
    }
    event("enter", EventKind::Enter, none(), &[]);
    event("fail", EventKind::Fail, none(), &[]);
    event("finish", EventKind::Finish, none(), &[]);
    let refusal = Refusal {
        record: "reply".into(),
        least: 400,
        most: 599,
        not_in: Vec::new(),
        // `starttls_injection` stands for an event by which TLS takes over.
        not_on: vec![EventId(7)],
    };
    let list = WritableList { slot: 0, mark: Some(ListMark { behind: 0, octet: b'-' }), newline: b"\r\n" };
    let command_writable = Writable { slots: vec![0, 1, 3, 5, 10], line: true, ..Writable::default() };
    let reply_writable = Writable { lists: vec![list], ..Writable::default() };
    let of_stream = Writable { stream: Some(LineStream { hidden: b'.', crlf: true }), ..Writable::default() };
    Arc::new(ProtocolScheme {
        name: "smtp".into(),
        events,
        states: STATES.iter().map(|state| (*state).into()).collect(),
        anomalies: anomalies.iter().map(|name| AnomalyInfo { name: (*name).into(), text: String::new() }).collect(),
        flow: Arc::unwrap_or_clone(flow.build()),
        keywords_ignore_case: true,
        refusal: Some(refusal),
        writable: vec![command_writable, reply_writable, of_stream.clone(), Writable::default(), of_stream],
        canonical: vec![
            vec![Canonical::Newline { octet: b'\n', hidden: Some(b'.') }],
            Vec::new(),
            Vec::new(),
            vec![Canonical::Blanks { record: "command".into(), slot: 10, count: 0 }],
        ],
        // Behind the beginning and each piece of the content come its pieces and its end.
        follows: vec![vec![], vec![], vec![EventId(3), EventId(4)], vec![EventId(3), EventId(4)], vec![]],
    })
}

/// A scheme as a small DNS grammar would export it.
pub(crate) fn dns() -> Arc<ProtocolScheme> {
    let rrtype = Enumeration { name: "rrtype".into(), members: vec![("A".into(), 1), ("MX".into(), 15)] };
    let question =
        LayoutBuilder::new("question").field("name", TEXT).field("type", Type::Enumeration(Arc::new(rrtype))).build();
    let query = LayoutBuilder::new("message").field("id", NUMBER).field("questions", Type::List(question)).build();
    let events = vec![EventType { name: "query".into(), kind: EventKind::Record, layout: query, states: vec![] }];
    Arc::new(ProtocolScheme {
        name: "dns".into(),
        events,
        states: vec!["exchange".into()],
        anomalies: vec![],
        flow: Layout::default(),
        keywords_ignore_case: false,
        refusal: None,
        writable: Vec::new(),
        canonical: Vec::new(),
        follows: Vec::new(),
    })
}

/// The files that policies in tests can name.
pub(crate) fn lists(request: &ListRequest<'_>) -> Result<Vec<u8>, String> {
    match request.path {
        "lists/banned-domains.txt" => Ok(b"# banned\nbanned.example\n*.evil.test\n".to_vec()),
        "lists/columns.txt" => Ok(b"# name reason\nbanned.example spam\n".to_vec()),
        _ => Err("no such file".into()),
    }
}

/// Compiles one policy file against both schemes.
pub(crate) fn compile(text: &str) -> (Sources, Result<Compiled, Diagnostics>) {
    let mut sources = Sources::new();
    let file = sources.add("gateway.policy", text);
    let compiled = PolicySet::compile(&sources, &[file], &[smtp(), dns()], &mut lists);
    (sources, compiled)
}

/// The policies of a file without errors.
pub(crate) fn policies(text: &str) -> PolicySet {
    let (sources, compiled) = compile(text);
    match compiled {
        Ok(compiled) => compiled.policies,
        Err(diagnostics) => panic!("{}", render_all(&diagnostics, &sources, false)),
    }
}

/// Text or number, so that tests can write values as they come.
#[derive(Clone, Debug)]
pub(crate) enum Given {
    Octets(Vec<u8>),
    Number(i64),
    Address(IpAddr),
    Boolean(bool),
    Unknown,
    /// The elements of a list, each with its values by slot.
    List(Vec<HashMap<u16, Given>>),
}

impl From<&str> for Given {
    fn from(text: &str) -> Given {
        Given::Octets(text.as_bytes().to_vec())
    }
}

impl From<&[u8]> for Given {
    fn from(octets: &[u8]) -> Given {
        Given::Octets(octets.to_vec())
    }
}

impl From<i64> for Given {
    fn from(number: i64) -> Given {
        Given::Number(number)
    }
}

impl Given {
    fn value(&self) -> Value<'_> {
        match self {
            Given::Octets(octets) => Value::bytes(octets),
            Given::Number(number) => Value::Number(*number),
            Given::Address(address) => Value::Address(*address),
            Given::Boolean(value) => Value::Boolean(*value),
            Given::Unknown => Value::Unknown,
            Given::List(_) => Value::Boolean(true),
        }
    }
}

/// An event with the values that its rules read.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) protocol: &'static str,
    pub(crate) name: &'static str,
    values: HashMap<Place, Given>,
    scheme: Arc<ProtocolScheme>,
    /// Where fields are in the record.
    octets: HashMap<Place, std::ops::Range<u32>>,
    /// Where elements of the list in the first slot are, and their first slot.
    elements: Vec<(std::ops::Range<u32>, std::ops::Range<u32>)>,
    /// Where in its record it happened.
    place: Option<u32>,
}

impl Event {
    pub(crate) fn new(protocol: &'static str, name: &'static str) -> Event {
        let scheme = if protocol == "smtp" { smtp() } else { dns() };
        let (values, octets, elements) = (HashMap::new(), HashMap::new(), Vec::new());
        let event = Event { protocol, name, values, scheme, octets, elements, place: None };
        event.client("192.0.2.1").server("10.0.0.25")
    }

    /// A field of the record, of what the flow keeps, or what the event tells.
    pub(crate) fn with(mut self, path: &str, value: impl Into<Given>) -> Event {
        let (_, event) = self.scheme.event(self.name).expect("an event of the scheme");
        let fact = event_slots::NAMES.iter().position(|name| *name == path);
        let place = if let Some(field) = event.layout.field(path) {
            Place { scope: Scope::Record, slot: field.slot }
        } else if let Some(field) = self.scheme.flow.field(path) {
            Place { scope: Scope::Flow, slot: field.slot }
        } else {
            let slot = u16::try_from(fact.expect("a field of the event")).expect("few of them");
            Place { scope: Scope::Event, slot }
        };
        self.values.insert(place, value.into());
        self
    }

    /// A list whose elements have these values.
    pub(crate) fn list(self, path: &str, elements: &[&[(&str, Given)]]) -> Event {
        let (_, event) = self.scheme.event(self.name).expect("an event of the scheme");
        let Type::List(layout) = event.layout.field(path).expect("a field").kind.clone() else { panic!("a list") };
        let slot = |name: &str| layout.field(name).expect("a field of the element").slot;
        let element = |values: &&[(&str, Given)]| values.iter().map(|(n, v)| (slot(n), v.clone())).collect();
        self.with(path, Given::List(elements.iter().map(element).collect()))
    }

    pub(crate) fn client(self, address: &str) -> Event {
        self.address(connection_slots::CLIENT_ADDRESS, address)
    }

    pub(crate) fn server(self, address: &str) -> Event {
        self.address(connection_slots::SERVER_ADDRESS, address)
    }

    fn address(mut self, slot: u16, address: &str) -> Event {
        let address = address.parse().expect("an address");
        self.values.insert(Place { scope: Scope::Connection, slot }, Given::Address(address));
        self
    }

    /// Says where a field of the record lies in it.
    pub(crate) fn at(mut self, path: &str, octets: std::ops::Range<u32>) -> Event {
        let (_, event) = self.scheme.event(self.name).expect("an event of the scheme");
        let slot = event.layout.field(path).expect("a field").slot;
        self.octets.insert(Place { scope: Scope::Record, slot }, octets);
        self
    }

    /// The octets of its record, without the newline at the end.
    pub(crate) fn raw(mut self, octets: &[u8]) -> Event {
        self.values.insert(Place { scope: Scope::Record, slot: RAW_SLOT }, Given::from(octets));
        self
    }

    /// Says where elements are in the record, and their first slot.
    pub(crate) fn elements_at(mut self, elements: Vec<(std::ops::Range<u32>, std::ops::Range<u32>)>) -> Event {
        self.elements = elements;
        self
    }

    /// Says where in its record it happened.
    pub(crate) fn in_record(mut self, place: u32) -> Event {
        self.place = Some(place);
        self
    }

    /// Says where a slot of the record lies in it.
    pub(crate) fn slot_at(mut self, slot: u16, octets: std::ops::Range<u32>) -> Event {
        self.octets.insert(Place { scope: Scope::Record, slot }, octets);
        self
    }

    /// What the policies decide about it.
    pub(crate) fn judge(&self, policies: &PolicySet) -> Vec<Decision> {
        self.judge_at(policies, 0, &mut Memory::new())
    }

    /// The same at a time, with what was remembered before it.
    pub(crate) fn judge_at(&self, policies: &PolicySet, time: i64, memory: &mut Memory) -> Vec<Decision> {
        let protocol = policies.protocol(self.protocol).expect("a protocol of the set");
        let applicable = policies.applicable(protocol, self);
        let mut decisions = Vec::new();
        let occurrence = Occurrence { protocol, event: self.id(), time };
        policies.judge(occurrence, self, &applicable, memory, &mut decisions);
        decisions
    }

    pub(crate) fn id(&self) -> EventId {
        self.scheme.event(self.name).expect("an event of the scheme").0
    }
}

impl Host for Event {
    fn read(&self, place: Place) -> Value<'_> {
        self.values.get(&place).map_or(Value::Absent, Given::value)
    }

    fn octets(&self, place: Place) -> Option<std::ops::Range<u32>> {
        self.octets.get(&place).cloned()
    }

    fn octets_of_element(&self, _: Place, index: u32, slot: Option<u16>) -> Option<std::ops::Range<u32>> {
        let (element, first) = self.elements.get(index as usize)?;
        match slot {
            None => Some(element.clone()),
            Some(0) => Some(first.clone()),
            Some(_) => None,
        }
    }

    fn place_in_record(&self) -> Option<u32> {
        self.place
    }

    fn count(&self, list: Place) -> u32 {
        match self.values.get(&list) {
            Some(Given::List(elements)) => u32::try_from(elements.len()).expect("few elements"),
            _ => 0,
        }
    }

    fn element(&self, list: Place, index: u32, slot: u16) -> Value<'_> {
        match self.values.get(&list) {
            Some(Given::List(elements)) => {
                elements.get(index as usize).and_then(|e| e.get(&slot)).map_or(Value::Absent, Given::value)
            }
            _ => Value::Absent,
        }
    }
}

/// `1001 alert high "text"`, one line a decision.
pub(crate) fn describe(decisions: &[Decision]) -> Vec<String> {
    use portcullis_policy::Action;
    let one = |decision: &Decision| {
        let action = match &decision.action {
            Action::Alert { severity, text } => format!("alert {severity} \"{text}\""),
            Action::Log { text } => format!("log \"{text}\""),
            Action::Refuse { text } => format!("refuse \"{text}\""),
            Action::Block { end, address, time } => format!("block {} {address} {time}", end.name()),
            Action::Edit(splices) => format!("edit {splices:?}"),
            other => other.name().into(),
        };
        let observe = if decision.observe { " (observed)" } else { "" };
        format!("{} {action}{observe}", decision.rule.id)
    };
    decisions.iter().map(one).collect()
}
