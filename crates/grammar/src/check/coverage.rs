//! C20: branches that no example exercises.
//!
//! Running the examples is the machine's work, so the caller does it and tells what came out: each record, and each rule
//! that was taken. Which branches of a record were taken is read off the record itself.

use std::collections::HashSet;

use portcullis_lang::{Code, Diagnostic, Diagnostics, EventId, Host, Place, Scope, Span, StateId, Value, is_in};

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
    /// Where it stands; for an `else` where its choice does.
    pub span: Span,
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
    taken: HashSet<(BranchKind, Span)>,
}

impl<'a> Coverage<'a> {
    /// Collects the branches of a protocol, none of them taken.
    pub fn new(protocol: &'a Protocol) -> Coverage<'a> {
        let mut branches = Vec::new();
        let mut seen = HashSet::new();
        let mut add = |branch: Branch| {
            // What a group has is one branch, wherever the group is used.
            if seen.insert((branch.kind, branch.span)) {
                branches.push(branch);
            }
        };
        for rule in observed(protocol) {
            if let Some(rule) = protocol.rules.get(usize::from(rule.0)) {
                let names = Names::of_layout(protocol, &rule.layout);
                walk::each_item(&rule.items, &mut |item| of_item(item, &names, &mut add));
            }
        }
        for state in &protocol.machine.states {
            for rule in &state.rules {
                let Some(trigger) = rule.triggers.iter().find(|it| matches!(it, Trigger::Event(_))) else { continue };
                let Trigger::Event(event) = trigger else { continue };
                let names = Names::of_event(protocol, Some(*event));
                let when = rule.when.as_ref().map(|when| format!(" when {}", show::formula(when, &names)));
                let name = format!("on {}{}", trigger_name(protocol, trigger), when.unwrap_or_default());
                add(Branch { kind: BranchKind::Rule, name, span: rule.span });
            }
        }
        Coverage { protocol, branches, taken: HashSet::new() }
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
            self.taken.insert((BranchKind::Rule, rule.span));
        }
    }

    /// All branches, in the order of the grammar's rules, then those of its machine.
    pub fn branches(&self) -> &[Branch] {
        &self.branches
    }

    /// The branches that were not taken.
    pub fn missing(&self) -> impl Iterator<Item = &Branch> {
        self.branches.iter().filter(|branch| !self.taken.contains(&(branch.kind, branch.span)))
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
        self.items(&rule.items, record, base, depth);
    }

    fn items(&mut self, items: &[Item], record: &Record<'_>, base: u32, depth: u8) {
        let present = |slot: u16| record.value_at(base, slot).truth().holds();
        for item in items {
            match item {
                Item::Optional { slot, items: part, .. } | Item::When { slot, items: part, .. } if present(*slot) => {
                    self.taken.extend(walk::span(item).map(|span| (BranchKind::Optional, span)));
                    self.items(part, record, base, depth);
                }
                Item::Switch { on, fold, arms, otherwise, span } => {
                    let host = AtElement { record, base };
                    let value = on.value(&host);
                    match arms.iter().find(|arm| is_in(&value, &arm.values, *fold)) {
                        Some(arm) => {
                            self.taken.insert((BranchKind::Choice, arm.span));
                            self.items(&arm.items, record, base, depth);
                        }
                        None => self.otherwise(otherwise.as_deref(), *span, record, base, depth),
                    }
                }
                Item::Choose { arms, otherwise, span } => match arms.iter().find(|arm| present(arm.slot)) {
                    Some(arm) => {
                        self.taken.insert((BranchKind::Choice, arm.span));
                        self.items(&arm.items, record, base, depth);
                    }
                    None => self.otherwise(otherwise.as_deref(), *span, record, base, depth),
                },
                Item::Window { items: part, .. } | Item::Line { items: part, .. } => {
                    self.items(part, record, base, depth);
                }
                Item::Many(many) => {
                    for index in 0..record.count_at(base, many.slot) {
                        if let Some(element) = record.element_base_at(base, many.slot, index) {
                            self.element(many.element, record, element, depth.saturating_add(1));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn otherwise(&mut self, items: Option<&[Item]>, span: Span, record: &Record<'_>, base: u32, depth: u8) {
        if let Some(items) = items {
            self.taken.insert((BranchKind::Else, span));
            self.items(items, record, base, depth);
        }
    }
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

fn of_item(item: &Item, names: &Names<'_>, add: &mut dyn FnMut(Branch)) {
    match item {
        Item::Optional { slot, .. } | Item::When { slot, .. } => {
            let name = names.place(Place { scope: Scope::Record, slot: *slot });
            if let Some(span) = walk::span(item) {
                add(Branch { kind: BranchKind::Optional, name, span });
            }
        }
        Item::Switch { on, arms, otherwise, span, .. } => {
            let kind = match on {
                portcullis_lang::Formula::Place(place) => names.kind(*place),
                _ => None,
            };
            let on = show::formula(on, names);
            for Arm { values, span, .. } in arms {
                let values: Vec<String> = values.iter().map(|value| show::case(value, kind)).collect();
                add(Branch { kind: BranchKind::Choice, name: format!("{on} is {}", values.join(" or ")), span: *span });
            }
            if otherwise.as_ref().is_some_and(|items| !fails(items)) {
                add(Branch { kind: BranchKind::Else, name: format!("{on} is anything else"), span: *span });
            }
        }
        Item::Choose { arms, otherwise, span } => {
            for arm in arms {
                let name = names.place(Place { scope: Scope::Record, slot: arm.slot });
                add(Branch { kind: BranchKind::Choice, name, span: arm.span });
            }
            if otherwise.as_ref().is_some_and(|items| !fails(items)) {
                add(Branch { kind: BranchKind::Else, name: "none of the other branches".into(), span: *span });
            }
        }
        _ => {}
    }
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
