//! C20: branches that no example exercises.
//!
//! Running the examples is the machine's work, so the caller does it and tells what came out: each record, and each rule
//! that was taken. Which branches of a record were taken is read off the record itself.

use std::collections::HashSet;

use portcullis_lang::{
    Code, Diagnostic, Diagnostics, EventId, EventKind, Host, Place, Scope, Span, StateId, Value, is_in,
};

use crate::event::Event;
use crate::model::{Arm, Example, Item, Protocol, RuleId, Trigger};
use crate::record::Record;
use crate::show::{self, Names};

use super::reached::trigger_name;
use super::walk::{self, Said};

/// A branch of a grammar that an input can take or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Branch {
    /// What it is.
    pub kind: BranchKind,
    /// How it is named: `verb == MAIL`, `on reply when code == 421`.
    pub name: String,
    /// Where it stands; for an `else` where its choice does, for a part without a place of its own where its record does.
    pub span: Span,
    /// Tells parts apart that have no place of their own.
    part: u16,
}

/// The kinds of branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BranchKind {
    /// A branch of a choice.
    Choice,
    /// The `else` of a choice.
    Else,
    /// A part that need not be there.
    Optional,
    /// A rule of the machine that waits for an event.
    Rule,
}

/// Which branches of a protocol were taken so far.
///
/// Branches within a `value` are left out: of it only the result is kept.
#[derive(Clone, Debug)]
pub struct Coverage<'a> {
    protocol: &'a Protocol,
    branches: Vec<Branch>,
    taken: HashSet<(BranchKind, Span, u16)>,
}

impl<'a> Coverage<'a> {
    /// Collects the branches of a protocol, none of them taken.
    pub fn new(protocol: &'a Protocol) -> Coverage<'a> {
        let mut branches = Vec::new();
        let mut seen = HashSet::new();
        let mut add = |branch: Branch| {
            // What a group has is one branch, wherever the group is used.
            if seen.insert((branch.kind, branch.span, branch.part)) {
                branches.push(branch);
            }
        };
        for rule in observed(protocol) {
            if let Some(rule) = protocol.rules.get(usize::from(rule.0)) {
                let names = Names::of_layout(protocol, &rule.layout);
                walk::each_item(&rule.items, &mut |item| of_item(item, &names, rule.span, &mut add));
            }
        }
        for state in &protocol.machine.states {
            for rule in &state.rules {
                let Some(trigger) = rule.triggers.iter().find(|it| matches!(it, Trigger::Event(_))) else { continue };
                let Trigger::Event(event) = trigger else { continue };
                let names = Names::of_event(protocol, Some(*event));
                let when = rule.when.as_ref().map(|when| format!(" when {}", show::formula(when, &names)));
                let name = format!("on {}{}", trigger_name(protocol, trigger), when.unwrap_or_default());
                add(Branch { kind: BranchKind::Rule, name, span: rule.span, part: 0 });
            }
        }
        Coverage { protocol, branches, taken: HashSet::new() }
    }

    /// Notes what an event shows: the branches of its record, and the rule of the machine that it makes the machine take.
    ///
    /// Of an event before the machine goes on, as [`EventSink`](crate::EventSink) gets it.
    pub fn event(&mut self, event: &Event<'_>) {
        if let Some(record) = event.record.as_ref().filter(|_| event.kind == EventKind::Record) {
            self.record(event.id, record);
        }
        let Some(state) = self.protocol.machine.states.get(usize::from(event.state.0)) else { return };
        let taken = state.rules.iter().position(|rule| {
            rule.triggers.contains(&Trigger::Event(event.id))
                && rule.when.as_ref().is_none_or(|when| when.test(event).holds())
        });
        if let Some(taken) = taken {
            self.rule(event.state, taken);
        }
    }

    /// Notes the branches that a record took.
    pub fn record(&mut self, event: EventId, record: &Record<'_>) {
        let mut rule = None;
        each_expected(self.protocol, &mut |expected_event, expected_rule| {
            if expected_event == event {
                rule.get_or_insert(expected_rule);
            }
        });
        if let Some(rule) = rule {
            self.element(rule, record, 0, 0);
        }
    }

    /// Notes that a rule of the machine was taken: the state it belongs to, and its place among the state's rules.
    pub fn rule(&mut self, state: StateId, rule: usize) {
        let state = self.protocol.machine.states.get(usize::from(state.0));
        if let Some(rule) = state.and_then(|state| state.rules.get(rule)) {
            self.taken.insert((BranchKind::Rule, rule.span, 0));
        }
    }

    /// All branches, in the order of the grammar's rules, then those of its machine.
    pub fn branches(&self) -> &[Branch] {
        &self.branches
    }

    /// The branches that were not taken.
    pub fn missing(&self) -> impl Iterator<Item = &Branch> {
        self.branches.iter().filter(|branch| !self.taken.contains(&(branch.kind, branch.span, branch.part)))
    }

    /// Adds a warning for each branch that was not taken.
    pub fn report(&self, diagnostics: &mut Diagnostics) {
        for branch in self.missing() {
            let what = match branch.kind {
                BranchKind::Choice => "branch",
                BranchKind::Else => "`else`",
                BranchKind::Optional => "optional part",
                BranchKind::Rule => "rule",
            };
            diagnostics.push(
                Diagnostic::warning(Code::C20, format!("no example exercises this {what}"))
                    .primary(branch.span, branch.name.clone())
                    .note("What was never run is not known to work.")
                    .help("add a line to an `example` that takes it, and what it gives, or see what a capture takes with `check --coverage FILE.pcap`"),
            );
        }
    }

    /// Notes the branches of a rule whose slots begin at `base`.
    fn element(&mut self, rule: RuleId, record: &Record<'_>, base: u32, depth: u8) {
        // Records are bounded, and lists within lists by the grammar: this only keeps a wrong model from going on for ever.
        const MAX_LISTS: u8 = 16;
        let Some(rule) = self.protocol.rules.get(usize::from(rule.0)).filter(|_| depth < MAX_LISTS) else { return };
        self.items(&rule.items, At { record, base, within: rule.span, depth });
    }

    fn items(&mut self, items: &[Item], at: At<'_>) {
        let present = |slot: u16| at.record.value_at(at.base, slot).truth().holds();
        for item in items {
            match item {
                Item::Optional { slot, items: part, .. } | Item::When { slot, items: part, .. } if present(*slot) => {
                    let (span, nth) = place_of_part(item, *slot, at.within);
                    self.taken.insert((BranchKind::Optional, span, nth));
                    self.items(part, at);
                }
                Item::Switch { on, fold, arms, otherwise, span } => {
                    let host = AtElement { record: at.record, base: at.base };
                    let value = on.value(&host);
                    match arms.iter().find(|arm| is_in(&value, &arm.values, *fold)) {
                        Some(arm) => {
                            self.taken.insert((BranchKind::Choice, arm.span, 0));
                            self.items(&arm.items, at);
                        }
                        None => self.otherwise(otherwise.as_deref(), *span, at),
                    }
                }
                Item::Choose { arms, otherwise, span } => match arms.iter().find(|arm| present(arm.slot)) {
                    Some(arm) => {
                        self.taken.insert((BranchKind::Choice, arm.span, 0));
                        self.items(&arm.items, at);
                    }
                    None => self.otherwise(otherwise.as_deref(), *span, at),
                },
                Item::Window { items: part, .. } | Item::Line { items: part, .. } => {
                    self.items(part, at);
                }
                Item::Many(many) => {
                    for index in 0..at.record.count_at(at.base, many.slot) {
                        if let Some(element) = at.record.element_base_at(at.base, many.slot, index) {
                            self.element(many.element, at.record, element, at.depth.saturating_add(1));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn otherwise(&mut self, items: Option<&[Item]>, span: Span, at: At<'_>) {
        if let Some(items) = items {
            self.taken.insert((BranchKind::Else, span, 0));
            self.items(items, at);
        }
    }
}

/// Where in a record the walk is.
#[derive(Clone, Copy)]
struct At<'r> {
    record: &'r Record<'r>,
    /// Where the slots of the rule at hand begin.
    base: u32,
    /// The place of the rule at hand.
    within: Span,
    /// Lists around it.
    depth: u8,
}

/// Has the examples of a protocol run, one after the other, and warns of the branches that none of them took.
///
/// `run` runs an example and notes in the [`Coverage`] what came out. A protocol without examples is not warned of: it
/// has not begun to show what it does.
pub fn coverage(protocol: &Protocol, mut run: impl FnMut(&Example, &mut Coverage<'_>), diagnostics: &mut Diagnostics) {
    if protocol.examples.is_empty() {
        return;
    }
    let mut coverage = Coverage::new(protocol);
    protocol.examples.iter().for_each(|example| run(example, &mut coverage));
    coverage.report(diagnostics);
}

fn of_item(item: &Item, names: &Names<'_>, within: Span, add: &mut dyn FnMut(Branch)) {
    match item {
        Item::Optional { slot, .. } | Item::When { slot, .. } => {
            let name = names.place(Place { scope: Scope::Record, slot: *slot });
            let (span, part) = place_of_part(item, *slot, within);
            add(Branch { kind: BranchKind::Optional, name, span, part });
        }
        Item::Switch { on, arms, otherwise, span, .. } => {
            let kind = match on {
                portcullis_lang::Formula::Place(place) => names.kind(*place),
                _ => None,
            };
            let on = show::formula(on, names);
            for Arm { values, span, .. } in arms {
                let values: Vec<String> = values.iter().map(|value| show::case(value, kind)).collect();
                add(Branch {
                    kind: BranchKind::Choice,
                    name: format!("{on} is {}", values.join(" or ")),
                    span: *span,
                    part: 0,
                });
            }
            if otherwise.as_ref().is_some_and(|items| !fails(items)) {
                add(Branch { kind: BranchKind::Else, name: format!("{on} is anything else"), span: *span, part: 0 });
            }
        }
        Item::Choose { arms, otherwise, span } => {
            for arm in arms {
                let name = names.place(Place { scope: Scope::Record, slot: arm.slot });
                add(Branch { kind: BranchKind::Choice, name, span: arm.span, part: 0 });
            }
            if otherwise.as_ref().is_some_and(|items| !fails(items)) {
                add(Branch { kind: BranchKind::Else, name: "none of the other branches".into(), span: *span, part: 0 });
            }
        }
        _ => {}
    }
}

/// Where an optional part stands, and what tells it apart if that is not known (a literal has no place).
fn place_of_part(item: &Item, slot: u16, within: Span) -> (Span, u16) {
    walk::span(item).map_or((within, slot), |span| (span, 0))
}

/// Whether items are a parse error by intention, which leaves no record to read off.
fn fails(items: &[Item]) -> bool {
    items.iter().any(|item| matches!(item, Item::Fail { .. }))
}

/// The rules whose slots are in the records of events: those that are said, and the elements of their lists.
fn observed(protocol: &Protocol) -> Vec<RuleId> {
    let mut rules = Vec::new();
    each_expected(protocol, &mut |_, rule| {
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    });
    let mut at = 0;
    while let Some(rule) = rules.get(at).and_then(|rule| protocol.rules.get(usize::from(rule.0))) {
        walk::each_item(&rule.items, &mut |item| {
            if let Item::Many(many) = item
                && !rules.contains(&many.element)
            {
                rules.push(many.element);
            }
        });
        at += 1;
    }
    rules
}

fn each_expected(protocol: &Protocol, visit: &mut dyn FnMut(EventId, RuleId)) {
    for state in &protocol.machine.states {
        for expect in &state.expects {
            walk::each_said(expect, &mut |said| {
                if let Said::Record(expected) = said {
                    visit(expected.event, expected.rule);
                }
            });
        }
    }
}

/// A record, or an element of one of its lists, as formulas see it. What the flow knows is unknown here.
struct AtElement<'a> {
    record: &'a Record<'a>,
    base: u32,
}

impl Host for AtElement<'_> {
    fn read(&self, place: Place) -> Value<'_> {
        match place.scope {
            Scope::Record if self.base == 0 => self.record.value(place.slot),
            Scope::Record => self.record.value_at(self.base, place.slot),
            _ => Value::Unknown,
        }
    }

    fn count(&self, list: Place) -> u32 {
        if list.scope == Scope::Record { self.record.count_at(self.base, list.slot) } else { 0 }
    }

    fn element(&self, list: Place, index: u32, slot: u16) -> Value<'_> {
        match self.record.element_base_at(self.base, list.slot, index) {
            Some(base) => self.record.value_at(base, slot),
            None => Value::Absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use portcullis_lang::{Sources, render_all};

    use super::*;
    use crate::check::tests::{blocks, load_page};
    use crate::dialogue::{Dialogue, Scratch};
    use crate::program::Program;

    const PAGE: &str = include_str!("../../../../docs/codes/C20.md");

    /// Runs the examples of a text on the machine, and judges what they took.
    fn judged(text: &str) -> (Vec<Code>, String) {
        let mut sources = Sources::new();
        let (protocol, _) = load_page(&mut sources, text).expect("a text that is right");
        let protocol = Arc::new(protocol);
        let program = Program::compile(protocol.clone());
        let mut diagnostics = Diagnostics::new();
        coverage(
            &protocol,
            |example, coverage| {
                let mut scratch = Scratch::default();
                let mut dialogue = Dialogue::new(&program, false, 0);
                let mut sink = |event: &Event<'_>| coverage.event(event);
                for (direction, octets) in &example.lines {
                    dialogue.octets(&program, &mut scratch, *direction, octets, 0, &mut sink);
                }
                dialogue.close(&program, &mut scratch, &mut sink);
            },
            &mut diagnostics,
        );
        let codes = diagnostics.sorted().iter().map(|one| one.code).collect();
        (codes, format!("{}\n\n{}", text.trim_end(), render_all(&diagnostics, &sources, false)))
    }

    #[test]
    fn the_page_shows_what_it_is_about() {
        for text in blocks(PAGE, "Example") {
            let (codes, messages) = judged(text);
            assert_eq!(codes, [Code::C20], "{messages}");
            insta::assert_snapshot!(messages);
        }
        for text in blocks(PAGE, "Instead") {
            let (codes, messages) = judged(text);
            assert_eq!(codes, [], "{messages}");
        }
    }

    #[test]
    fn rules_elements_and_optional_parts_are_branches() {
        let text = "line command max 100 { verb: word max 8   flag: optional \"!\"   options: many option max 9   _: rest }\n\
                    group option { \" \"   choose { \"+\" => { \"+\"   more: [a-z] max 9 }   else => { less: [a-z] max 9 } } }\n\
                    machine { start talk   state talk { up command   on command when verb == BYE -> finish   on command when verb == HI -> talk } }\n\
                    example \"hello\" { up \"HI +a\\r\\n\"   gives command HI }";
        let (codes, messages) = judged(text);
        // The `!`, the option without a +, and the rule of BYE.
        assert_eq!(codes, [Code::C20; 3], "{messages}");
        insta::assert_snapshot!(messages);
    }
}
