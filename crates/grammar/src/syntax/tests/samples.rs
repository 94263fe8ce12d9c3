//! Grammars that have to be understood, from the design of the language and from `grammars/`.

use portcullis_lang::{Sources, render_all};

use super::super::parse;
use super::super::tree::*;

/// All of them: name and text.
pub(super) const SAMPLES: &[(&str, &str)] = &[
    ("smtp.grammar", include_str!("../../../../../grammars/smtp.grammar")),
    ("dns.grammar", include_str!("../../../../../grammars/dns.grammar")),
    ("sketch/smtp.grammar", include_str!("input/smtp.grammar")),
    ("sketch/dns.grammar", include_str!("input/dns.grammar")),
    ("sketch/http.grammar", include_str!("input/http.grammar")),
    ("sketch/mime.grammar", include_str!("input/mime.grammar")),
    ("sketch/tls.grammar", include_str!("input/tls.grammar")),
    ("sketch/others.grammar", include_str!("input/others.grammar")),
];

/// Parses a text that has to be right.
pub(super) fn good(name: &str, text: &str) -> File {
    let mut sources = Sources::new();
    let source = sources.add(name, text);
    let (file, diagnostics) = parse(source, sources.text(source));
    assert!(diagnostics.is_empty(), "{}", render_all(&diagnostics, &sources, false));
    file
}

fn sample(name: &str) -> File {
    let (name, text) = SAMPLES.iter().find(|(known, _)| *known == name).expect("a sample");
    good(name, text)
}

fn fields<'f>(file: &'f File, wanted: &str) -> &'f [Field] {
    for item in &file.items {
        match &item.kind {
            ItemKind::Definition(definition) if definition.name.text == wanted => return &definition.fields,
            ItemKind::Stream(stream) if stream.name.text == wanted => return &stream.fields,
            _ => {}
        }
    }
    panic!("no `{wanted}`")
}

fn field<'f>(fields: &'f [Field], wanted: &str) -> &'f Element {
    let found = fields.iter().find(|field| matches!(&field.label, Some(FieldLabel::Name(name)) if name.text == wanted));
    &found.unwrap_or_else(|| panic!("no `{wanted}`")).element
}

#[test]
fn every_sample_is_understood() {
    for (name, text) in SAMPLES {
        good(name, text);
    }
}

#[test]
fn smtp_has_the_shape_that_was_written() {
    let file = sample("sketch/smtp.grammar");
    assert_eq!(file.comments.len(), 18);
    let command = fields(&file, "command");
    assert_eq!(command.len(), 3);
    let ElementKind::Choose(choose) = &command[1].element.kind else { panic!() };
    let patterns: Vec<usize> = choose.branches.iter().map(|branch| branch.patterns.len()).collect();
    assert_eq!(patterns, [3, 1, 1, 1, 1, 4, 1]);
    assert_eq!(command[2].element.kind, ElementKind::Type(Type { kind: TypeKind::Rest, span: command[2].span }));
    assert!(matches!(
        command[2].element.modifiers.checks[0].kind,
        CheckKind::Should(Some(ref name)) if name.text == "trailing_text"
    ));

    let content = fields(&file, "content");
    assert!(matches!(content[0].element.kind, ElementKind::Type(Type { kind: TypeKind::Lines(_), .. })));
    assert_eq!(content[0].element.pipes.len(), 2);

    let machine = file.items.iter().find_map(|item| match &item.kind {
        ItemKind::Machine(machine) => Some(machine),
        _ => None,
    });
    let machine = machine.expect("a machine");
    assert_eq!(machine.states.len(), 6);
    assert_eq!(machine.joins.len(), 2);
    let response = &machine.states[3];
    assert_eq!((response.expectations.len(), response.rules.len()), (2, 5));
    let tls = response.rules[2].target.as_ref().expect("a target");
    assert!(matches!(&tls.kind, TargetKind::Finish { then: Some(_) }));
    assert!(matches!(&response.rules[2].actions[0].kind, ActionKind::Check(check) if check.kind != CheckKind::Must));
    let any = machine.any_state.as_ref().expect("any state");
    assert_eq!(any.rules[2].resync.len(), 2);
    assert!(any.rules[3].events[0].duration.is_some());
}

#[test]
fn relations_and_conditions_are_attached_to_their_fields() {
    let file = sample("sketch/others.grammar");
    let packet = fields(&file, "packet");
    let length = field(packet, "length");
    assert!(matches!(&length.modifiers.relations[0].kind, RelationKind::Measures(of) if of.len() == 1));
    let ElementKind::Choose(body) = &field(packet, "body").kind else { panic!() };
    let ElementKind::Block(publish) = &body.branches[0].field.element.kind else { panic!() };
    assert_eq!(publish.len(), 4);
    assert!(field(publish, "packet_id").modifiers.when.is_some());

    let radius = field(fields(&file, "radius"), "length");
    assert!(matches!(&radius.modifiers.relations[0].kind, RelationKind::Measures(of) if of[0].to.is_some()));
    assert_eq!(radius.modifiers.checks[0].kind, CheckKind::Must);

    let numbers = fields(&file, "numbers");
    assert!(field(numbers, "m").modifiers.times.is_some());
    assert_eq!(field(numbers, "o").modifiers.maxima[0].of, MaximumOf::Digits);
    let ElementKind::Type(Type { kind: TypeKind::Class(class), .. }) = &field(numbers, "s").kind else { panic!() };
    assert_eq!(class.ranges.last(), Some(&(b'-', b'-')));
    assert!(class.ranges.contains(&(b']', b']')));
    let ElementKind::Many(many) = &field(numbers, "y").kind else { panic!() };
    assert!(matches!(many.end, RepetitionEnd::Until(_)));

    let data = fields(&file, "data");
    let ElementKind::Type(Type { kind: TypeKind::Lines(lines), .. }) = &data[0].element.kind else { panic!() };
    assert!(lines.lookalikes.is_some() && lines.long_lines.is_some());
    assert_eq!(data[0].element.pipes.len(), 3);
}
