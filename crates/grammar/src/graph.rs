//! The machine of a protocol as a drawing: DOT for Graphviz, and Mermaid for Markdown.
//!
//! An edge says which side speaks (▲ the client, ▼ the server), what it says, under which guard, and what is done.
//! Rules of `any state` that all states share are drawn once.

use std::fmt::Write as _;

use portcullis_lang::{Direction, EventId, Span};

use crate::check::{Said, each_said, event_name, stream, trigger_name};
use crate::model::{Action, Expect, Protocol, State, Target, Template, TemplatePart, Transition, Trigger};
use crate::show::{self, Names};

/// What a drawing consists of, whatever draws it.
struct Graph {
    start: Option<usize>,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

struct Node {
    name: String,
    /// What each side may say, one line a side.
    says: Vec<String>,
    last: bool,
}

/// All rules from one node to another.
struct Edge {
    from: String,
    to: String,
    labels: Vec<String>,
}

/// Name of the node from which rules of all states lead.
const ANY: &str = "any state";

/// Draws the machine as DOT.
pub fn dot(protocol: &Protocol) -> String {
    let graph = graph(protocol);
    let mut text = String::new();
    let _ = writeln!(text, "digraph {} {{", identifier(&protocol.name));
    text.push_str("    rankdir = LR\n    node [shape = box, style = rounded, fontname = \"sans-serif\"]\n");
    text.push_str("    edge [fontname = \"sans-serif\", fontsize = 10]\n\n");
    if let Some(start) = graph.start.and_then(|start| graph.nodes.get(start)) {
        text.push_str("    \"\" [shape = point, width = 0.15]\n");
        let _ = writeln!(text, "    \"\" -> {}", dot_text(&start.name));
    }
    for node in &graph.nodes {
        let lines: Vec<String> = std::iter::once(node.name.clone())
            .chain(node.says.iter().cloned())
            .map(|line| dot_escaped(&line))
            .collect();
        let shape = match (node.last, node.name == ANY) {
            (true, _) => ", peripheries = 2",
            (_, true) => ", style = dashed",
            _ => "",
        };
        let _ = writeln!(text, "    {} [label = \"{}\"{shape}]", dot_text(&node.name), lines.join("\\n"));
    }
    text.push('\n');
    for edge in &graph.edges {
        let label: String = edge.labels.iter().map(|label| format!("{}\\l", dot_escaped(label))).collect();
        let _ = writeln!(text, "    {} -> {} [label = \"{label}\"]", dot_text(&edge.from), dot_text(&edge.to));
    }
    text.push_str("}\n");
    text
}

/// Draws the machine as a Mermaid `stateDiagram-v2`.
pub fn mermaid(protocol: &Protocol) -> String {
    let graph = graph(protocol);
    let mut text = String::from("stateDiagram-v2\n    direction LR\n");
    for node in &graph.nodes {
        let lines: Vec<String> = std::iter::once(node.name.clone())
            .chain(node.says.iter().cloned())
            .map(|line| mermaid_escaped(&line))
            .collect();
        let _ = writeln!(text, "    state \"{}\" as {}", lines.join("<br/>"), identifier(&node.name));
    }
    if let Some(start) = graph.start.and_then(|start| graph.nodes.get(start)) {
        let _ = writeln!(text, "    [*] --> {}", identifier(&start.name));
    }
    for edge in &graph.edges {
        let labels: Vec<String> = edge.labels.iter().map(|label| mermaid_escaped(label)).collect();
        let _ =
            writeln!(text, "    {} --> {} : {}", identifier(&edge.from), identifier(&edge.to), labels.join("<br/>"));
    }
    for node in graph.nodes.iter().filter(|node| node.last) {
        let _ = writeln!(text, "    {} --> [*]", identifier(&node.name));
    }
    text
}

fn graph(protocol: &Protocol) -> Graph {
    let machine = &protocol.machine;
    let last = machine.states.len().saturating_sub(2);
    let shared = shared(machine.states.get(..last).unwrap_or_default());
    let mut graph =
        Graph { start: machine.start.map(|start| usize::from(start.0)), nodes: Vec::new(), edges: Vec::new() };
    for (at, state) in machine.states.iter().enumerate() {
        let says = Direction::BOTH.into_iter().filter_map(|direction| {
            let expect = state.expects.get(direction.index())?;
            says(protocol, expect).map(|said| format!("{direction}: {said}"))
        });
        graph.nodes.push(Node { name: state.name.clone(), says: says.collect(), last: at >= last });
        for rule in state.rules.iter().filter(|rule| !shared.contains(&rule.span)) {
            graph.rule(protocol, &state.name, state, rule);
        }
        if let Some((time, target)) = &state.timeout
            && !timeout_is_shared(&machine.states, last)
        {
            graph.add(&state.name, &target_name(protocol, target, &state.name), timeout_label(*time, target));
        }
    }
    let first = machine.states.first().filter(|_| last > 0);
    let any: Vec<&Transition> =
        first.map(|state| state.rules.iter().filter(|rule| shared.contains(&rule.span)).collect()).unwrap_or_default();
    let timeout = first.and_then(|state| state.timeout.as_ref()).filter(|_| timeout_is_shared(&machine.states, last));
    if let Some(state) = first.filter(|_| timeout.is_some() || any.iter().any(|rule| is_drawn(rule))) {
        graph.nodes.push(Node { name: ANY.into(), says: Vec::new(), last: false });
        for rule in any {
            graph.rule(protocol, ANY, state, rule);
        }
        if let Some((time, target)) = timeout {
            graph.add(ANY, &target_name(protocol, target, ANY), timeout_label(*time, target));
        }
    }
    graph
}

impl Graph {
    fn rule(&mut self, protocol: &Protocol, from: &str, state: &State, rule: &Transition) {
        if is_drawn(rule) {
            self.add(from, &target_name(protocol, &rule.target, from), label(protocol, state, rule));
        }
    }

    fn add(&mut self, from: &str, to: &str, label: String) {
        match self.edges.iter_mut().find(|edge| edge.from == from && edge.to == to) {
            Some(edge) => edge.labels.push(label),
            None => self.edges.push(Edge { from: from.into(), to: to.into(), labels: vec![label] }),
        }
    }
}

/// A rule that neither leads anywhere nor does anything would only be ink.
fn is_drawn(rule: &Transition) -> bool {
    !matches!(rule.target, Target::Stay) || !rule.actions.is_empty()
}

/// The rules that all states have: those of `any state`, if there is more than one state.
fn shared(states: &[State]) -> Vec<Span> {
    let Some((first, others)) = states.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Vec::new();
    };
    let has = |state: &State, span: Span| state.rules.iter().any(|rule| rule.span == span);
    let spans = first.rules.iter().map(|rule| rule.span);
    spans.filter(|span| others.iter().all(|state| has(state, *span))).collect()
}

fn timeout_is_shared(states: &[State], last: usize) -> bool {
    let timeouts: Vec<(i64, String)> = states
        .iter()
        .take(last)
        .filter_map(|state| state.timeout.as_ref().map(|(time, target)| (*time, format!("{target:?}"))))
        .collect();
    timeouts.len() == last && last > 1 && timeouts.windows(2).all(|pair| pair.first() == pair.last())
}

fn timeout_label(time: i64, target: &Target) -> String {
    format!("after {}{}", show::duration(time), reason(target, &Names { flow: None, record: None, element: None }))
}

fn target_name(protocol: &Protocol, target: &Target, from: &str) -> String {
    let states = &protocol.machine.states;
    let nth_last = |nth: usize| states.len().checked_sub(nth).and_then(|at| states.get(at));
    let name = |state: Option<&State>, otherwise: &str| state.map_or(otherwise.to_owned(), |state| state.name.clone());
    match target {
        Target::Stay => from.to_owned(),
        Target::State(id) => name(states.get(usize::from(id.0)), "?"),
        Target::Fail(_) => name(nth_last(2), "fail"),
        Target::Finish(_) => name(nth_last(1), "finish"),
    }
}

fn label(protocol: &Protocol, state: &State, rule: &Transition) -> String {
    let mut text = String::new();
    let event = rule.triggers.iter().find_map(|trigger| match trigger {
        Trigger::Event(event) => Some(*event),
        _ => None,
    });
    let names = Names::of_event(protocol, event);
    for (at, trigger) in rule.triggers.iter().enumerate() {
        if at > 0 {
            text.push_str(", ");
        }
        if let Trigger::Event(event) = trigger {
            text.push_str(match speaker(protocol, state, *event) {
                Some(Direction::Up) => "▲ ",
                Some(Direction::Down) => "▼ ",
                None => "",
            });
        }
        text.push_str(trigger_name(protocol, trigger));
    }
    if let Some(when) = &rule.when {
        let _ = write!(text, " when {}", show::formula(when, &names));
    }
    let actions: Vec<String> = rule.actions.iter().map(|action| action_text(protocol, action, &names)).collect();
    if !actions.is_empty() {
        let _ = write!(text, " / {}", actions.join(", "));
    }
    text.push_str(&reason(&rule.target, &names));
    text
}

/// Which side says an event in a state; none if both can.
fn speaker(protocol: &Protocol, state: &State, event: EventId) -> Option<Direction> {
    let says = |direction: &Direction| {
        let mut says = false;
        if let Some(expect) = state.expects.get(direction.index()) {
            each_said(expect, &mut |said| {
                says |= match said {
                    Said::Record(expected) => expected.event == event,
                    Said::Stream(id) => stream(protocol, id).is_some_and(|stream| {
                        [stream.events.start, stream.events.chunk, stream.events.end].contains(&event)
                    }),
                };
            });
        }
        says
    };
    let mut speakers = Direction::BOTH.into_iter().filter(says);
    speakers.next().filter(|_| speakers.next().is_none())
}

fn action_text(protocol: &Protocol, action: &Action, names: &Names<'_>) -> String {
    let anomaly = |id: &portcullis_lang::AnomalyId| {
        protocol.anomalies.get(usize::from(id.0)).map_or("an anomaly", |anomaly| anomaly.name.as_str())
    };
    let channel = |id: &crate::model::ChannelId| {
        protocol.channels.get(usize::from(id.0)).map_or("a channel", |channel| channel.name.as_str())
    };
    match action {
        Action::Anomaly(id) => format!("anomaly {}", anomaly(id)),
        Action::Should { test, anomaly: id } => format!("should {} as {}", show::formula(test, names), anomaly(id)),
        Action::Close(id) => format!("close {}", channel(id)),
        Action::Abort(id) => format!("abort {}", channel(id)),
        Action::Set { slot, value } => {
            let place = portcullis_lang::Place { scope: portcullis_lang::Scope::Flow, slot: *slot };
            format!("{} = {}", names.place(place), show::formula(value, names))
        }
    }
}

/// What a target says beside its name.
fn reason(target: &Target, names: &Names<'_>) -> String {
    match target {
        Target::Fail(template) => format!(" \"{}\"", template_text(template, names)),
        Target::Finish(Some(protocol)) => format!(", then {protocol}"),
        Target::Stay | Target::State(_) | Target::Finish(None) => String::new(),
    }
}

fn template_text(template: &Template, names: &Names<'_>) -> String {
    let part = |part: &TemplatePart| match part {
        TemplatePart::Text(text) => text.clone(),
        TemplatePart::Value(value) => format!("{{{}}}", show::formula(value, names)),
    };
    template.parts.iter().map(part).collect()
}

/// What a side may say, as the grammar has it.
fn says(protocol: &Protocol, expect: &Expect) -> Option<String> {
    let either = |parts: Vec<Option<String>>| {
        let mut parts: Vec<String> = parts.into_iter().flatten().collect();
        parts.dedup();
        (!parts.is_empty()).then(|| parts.join(" or "))
    };
    match expect {
        Expect::Nothing => None,
        Expect::Waits { max } => Some(format!("waits, at most {}", show::octets(u64::from(*max)))),
        Expect::Record(expected) => Some(event_name(protocol, expected.event).to_owned()),
        Expect::Stream(id) => stream(protocol, *id).map(|stream| stream.name.clone()),
        Expect::Then(expected, then) => {
            let record = event_name(protocol, expected.event);
            Some(says(protocol, then).map_or(record.to_owned(), |then| format!("{record} then {then}")))
        }
        Expect::Choose { arms, otherwise, .. } => {
            either(arms.iter().map(|(_, expect)| says(protocol, expect)).chain([says(protocol, otherwise)]).collect())
        }
        Expect::First { arms, otherwise } => {
            either(arms.iter().map(|(_, expect)| says(protocol, expect)).chain([says(protocol, otherwise)]).collect())
        }
    }
}

fn identifier(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

fn dot_text(name: &str) -> String {
    format!("\"{}\"", dot_escaped(name))
}

fn dot_escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Mermaid ends a label at `;` and takes `:` and `"` for its own.
fn mermaid_escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '"' => escaped.push_str("#quot;"),
            ';' | ':' | '#' | '<' | '>' | '{' | '}' => {
                let _ = write!(escaped, "#{};", u32::from(letter));
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::loaded;

    /// Guards, actions, a jump to another protocol, rules of all states, a timeout, both sides of the talk.
    const GRAMMAR: &str = r#"
protocol talk over tcp port 1
newline CRLF, and LF as anomaly bare_lf

line command max 512 { verb: word max 8   what: rest }
line reply max 512 { code: decimal max 3   _: rest }
stream content { lines until "." | mail }

flow {
    mail:  channel
    count: u16 = 0
}

machine {
    start command
    state command {
        up   command
        down reply
        on command when verb in (DATA, BDAT) { count = count + 1 } -> data
        on command when verb == QUIT                               -> finish
        on command when what == "A;B:\"C"                          -> finish, then tls
        on reply   { anomaly early_reply }
    }
    state data {
        up   content
        down waits max 64 KB
        on content when count > 1 { close mail } -> command
        on content                { abort mail } -> command
    }
    any state {
        on parse_error -> fail "malformed {record}"
        on timeout 5 min -> finish
    }
}
"#;

    #[test]
    fn dot_of_a_talk() {
        insta::assert_snapshot!(dot(&loaded(GRAMMAR)));
    }

    #[test]
    fn mermaid_of_a_talk() {
        insta::assert_snapshot!(mermaid(&loaded(GRAMMAR)));
    }

    /// Grammars change; that nothing of them is missing in a drawing does not.
    #[test]
    fn shipped_grammars_are_drawn_whole() {
        for text in [include_str!("../../../grammars/smtp.grammar"), include_str!("../../../grammars/dns.grammar")] {
            let protocol = loaded(text);
            let (dot, mermaid) = (dot(&protocol), mermaid(&protocol));
            for state in &protocol.machine.states {
                assert!(dot.contains(&format!("    \"{}\" [label", state.name)), "{dot}");
                assert!(mermaid.contains(&format!("\" as {}\n", state.name)), "{mermaid}");
                for rule in state.rules.iter().filter(|rule| matches!(rule.target, Target::State(_))) {
                    let to = target_name(&protocol, &rule.target, &state.name);
                    assert!(dot.contains(&format!("\"{}\" -> \"{to}\" [label", state.name)), "{dot}");
                    assert!(mermaid.contains(&format!("    {} --> {to} : ", state.name)), "{mermaid}");
                }
            }
            assert_eq!(dot.matches('{').count(), dot.matches('}').count(), "{dot}");
        }
    }
}
