//! C22: the examples of a grammar, run whole and however their octets are cut.

use std::sync::Arc;

use portcullis_grammar::model::{Example, ExampleEvent, Protocol};
use portcullis_grammar::{Dialogue, Event, EventSink, Program, Scratch};
use portcullis_lang::{Code, Diagnostic, Diagnostics};

/// Most cuts that an example is tried with: each is a run of all of it.
const MAX_CUTS: usize = 10_000;

/// Most events that a message lists.
const MAX_LISTED: usize = 30;

/// Runs each example and reports those that do not give what they say.
pub(super) fn check(protocol: &Arc<Protocol>, diagnostics: &mut Diagnostics) {
    if protocol.examples.is_empty() {
        return;
    }
    let program = Program::compile(Arc::clone(protocol));
    let mut scratch = Scratch::default();
    for example in &protocol.examples {
        let failed = cuts(example).find_map(|cut| {
            let found = run(&program, &mut scratch, example, cut);
            example.gives.get(found.met).map(|missing| explain(protocol, example, missing, cut, &found))
        });
        if let Some(diagnostic) = failed {
            diagnostics.push(diagnostic);
        }
    }
}

/// How the octets of an example arrive.
#[derive(Clone, Copy)]
enum Cut {
    Whole,
    /// One octet at a time.
    Octets,
    /// One of the lines in two pieces.
    At {
        line: usize,
        octet: usize,
    },
}

/// Whole comes first, so that what a cut is blamed for is its own doing. Datagrams cannot be cut.
fn cuts(example: &Example) -> impl Iterator<Item = Cut> {
    let lines = if example.datagrams { &[][..] } else { example.lines.as_slice() };
    let at = lines
        .iter()
        .enumerate()
        .flat_map(|(line, (_, octets))| (1..octets.len()).map(move |octet| Cut::At { line, octet }));
    let octets = (!example.datagrams).then_some(Cut::Octets);
    std::iter::once(Cut::Whole).chain(octets).chain(at.take(MAX_CUTS))
}

/// What came of a run.
struct Found<'a> {
    gives: &'a [ExampleEvent],
    /// How many of the events that have to come did.
    met: usize,
    /// The first events, by name.
    names: Vec<String>,
    more: usize,
}

impl EventSink for Found<'_> {
    fn event(&mut self, event: &Event<'_>) {
        let wanted = self.gives.get(self.met).filter(|wanted| wanted.event == event.id);
        if wanted.is_some_and(|wanted| wanted.test.as_ref().is_none_or(|test| test.test(event).holds())) {
            self.met = self.met.saturating_add(1);
        }
        match self.names.len() < MAX_LISTED {
            true => self.names.push(event.event_name().to_owned()),
            false => self.more = self.more.saturating_add(1),
        }
    }
}

fn run<'a>(program: &Program, scratch: &mut Scratch, example: &'a Example, cut: Cut) -> Found<'a> {
    let mut found = Found { gives: &example.gives, met: 0, names: Vec::new(), more: 0 };
    let mut dialogue = Dialogue::new(program, false, 0);
    for (number, (direction, octets)) in example.lines.iter().enumerate() {
        if example.datagrams {
            dialogue.datagram(program, scratch, *direction, octets, 0, &mut found);
            continue;
        }
        let (first, second) = match cut {
            Cut::At { line, octet } if line == number => octets.split_at_checked(octet).unwrap_or((octets, &[])),
            _ => (&**octets, &[][..]),
        };
        let size = if matches!(cut, Cut::Octets) { 1 } else { usize::MAX };
        for piece in first.chunks(size).chain(second.chunks(size)) {
            dialogue.octets(program, scratch, *direction, piece, 0, &mut found);
        }
    }
    dialogue.close(program, scratch, &mut found);
    found
}

fn explain(protocol: &Protocol, example: &Example, missing: &ExampleEvent, cut: Cut, found: &Found<'_>) -> Diagnostic {
    let event = protocol.scheme.events.get(usize::from(missing.event.0)).map_or("", |event| event.name.as_str());
    let title = format!("the example `{}` does not give this `{event}`", example.name);
    let label = match found.met {
        0 => "it does not come at all".to_owned(),
        1 => "it does not come after the event before it".to_owned(),
        met => format!("it does not come after the {met} events before it"),
    };
    let mut listed = found.names.join(", ");
    if found.more > 0 {
        listed = format!("{listed}, ... and {} more", found.more);
    }
    let diagnostic = Diagnostic::error(Code::C22, title)
        .primary(missing.span, label)
        .note(format!("What comes: {}.", if listed.is_empty() { "nothing" } else { &listed }));
    match cut {
        Cut::Whole => diagnostic,
        Cut::Octets => diagnostic.note("It comes if the lines arrive whole, and not if each octet arrives alone."),
        Cut::At { line, octet } => diagnostic.note(format!(
            "It comes if the lines arrive whole, and not if line {} is cut behind {octet} octets.",
            line.saturating_add(1)
        )),
    }
}
