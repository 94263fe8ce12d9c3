//! From the model to programs.

use std::sync::Arc;

use super::{Entry, NO_SLOT, Op, Program, Switch, Until};
use portcullis_lang::{EventId, EventKind};

use crate::model::{
    ClassSet, Conversion, Delimiter, Expect, Expected, Field, First, Item, Protocol, RuleKind, Shape, Weight,
};

impl Program {
    /// Compiles the model. It cannot fail: the model is checked. Tables hold at most 65,535 entries, which `lower`
    /// has made sure of by its bound on the fields of a grammar.
    pub fn compile(protocol: Arc<Protocol>) -> Program {
        let mut compiler = Compiler { program: Program::empty(Arc::clone(&protocol)) };
        for rule in &protocol.rules {
            let start = compiler.here();
            compiler.items(&rule.items);
            compiler.emit(Op::Return);
            let element = if rule.kind == RuleKind::Line {
                let element = compiler.here();
                compiler.emit(Op::OpenLine { max: rule.max });
                compiler.items(&rule.items);
                compiler.emit(Op::CloseLine);
                compiler.emit(Op::Return);
                element
            } else {
                start
            };
            compiler.program.entries.push(Entry { start, element });
        }
        let mut program = compiler.program;
        program.directions = vec![[false; 2]; protocol.scheme.events.len()];
        program.anomaly_events = vec![None; protocol.anomalies.len()];
        for (event, id) in protocol.scheme.events.iter().zip((0..=u16::MAX).map(EventId)) {
            match event.kind {
                EventKind::Record | EventKind::StreamStart | EventKind::StreamChunk | EventKind::StreamEnd => {}
                EventKind::Anomaly(anomaly) => {
                    if let Some(entry) = program.anomaly_events.get_mut(usize::from(anomaly.0)) {
                        *entry = Some(id);
                    }
                }
                kind => program.kind_events.push((kind, id)),
            }
        }
        for state in &protocol.machine.states {
            for (index, expect) in state.expects.iter().enumerate() {
                program.survey(&protocol, expect, index);
            }
        }
        program
    }

    /// Takes note of who says what.
    fn survey(&mut self, protocol: &Protocol, expect: &Expect, direction: usize) {
        match expect {
            Expect::Nothing | Expect::Waits { .. } => {}
            Expect::Record(expected) => self.survey_record(expected, direction),
            Expect::Stream(stream) => {
                if let Some(stream) = protocol.streams.get(usize::from(stream.0)) {
                    self.says(stream.events.end, direction);
                }
            }
            Expect::Then(expected, then) => {
                self.survey_record(expected, direction);
                self.survey(protocol, then, direction);
            }
            Expect::Choose { arms, otherwise, .. } => {
                arms.iter().for_each(|arm| self.survey(protocol, &arm.1, direction));
                self.survey(protocol, otherwise, direction);
            }
            Expect::First { arms, otherwise } => {
                arms.iter().for_each(|arm| self.survey(protocol, &arm.1, direction));
                self.survey(protocol, otherwise, direction);
            }
        }
    }

    fn survey_record(&mut self, expected: &Expected, direction: usize) {
        self.says(expected.event, direction);
        if let Some(matching) = &expected.matches
            && !self.matchings.iter().any(|other| other.question == matching.question)
        {
            self.matchings.push(matching.clone());
        }
    }

    fn says(&mut self, event: EventId, direction: usize) {
        let entry = self.directions.get_mut(usize::from(event.0)).and_then(|by| by.get_mut(direction));
        if let Some(entry) = entry {
            *entry = true;
        }
    }

    fn empty(protocol: Arc<Protocol>) -> Program {
        Program {
            protocol,
            ops: Vec::new(),
            entries: Vec::new(),
            formulas: Vec::new(),
            literals: Vec::new(),
            firsts: Vec::new(),
            untils: Vec::new(),
            classes: Vec::new(),
            alternatives: Vec::new(),
            switches: Vec::new(),
            choices: Vec::new(),
            loops: Vec::new(),
            templates: Vec::new(),
            names: Vec::new(),
            directions: Vec::new(),
            matchings: Vec::new(),
            kind_events: Vec::new(),
            anomaly_events: Vec::new(),
        }
    }
}

struct Compiler {
    program: Program,
}

/// Appends to a table and gives the number of the entry.
fn add<T>(table: &mut Vec<T>, entry: T) -> u16 {
    let index = u16::try_from(table.len()).unwrap_or(u16::MAX);
    table.push(entry);
    index
}

impl Compiler {
    fn here(&self) -> u32 {
        u32::try_from(self.program.ops.len()).unwrap_or(u32::MAX)
    }

    fn emit(&mut self, op: Op) -> usize {
        self.program.ops.push(op);
        self.program.ops.len() - 1
    }

    /// Points the jump at `at` to what comes next.
    fn land(&mut self, at: usize) {
        let here = self.here();
        match self.program.ops.get_mut(at) {
            Some(Op::UnlessFirst { to, .. } | Op::Unless { to, .. } | Op::Jump { to }) => *to = here,
            _ => debug_assert!(false, "only jumps land"),
        }
    }

    fn items(&mut self, items: &[Item]) {
        items.iter().for_each(|item| self.item(item));
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Literal(literal) => {
                let literal = add(&mut self.program.literals, literal.clone());
                self.emit(Op::Literal { literal });
            }
            Item::Field(field) => self.field(field),
            Item::Let { slot, value, .. } => {
                let value = add(&mut self.program.formulas, value.clone());
                self.emit(Op::Let { slot: *slot, value });
            }
            Item::Check { weight, test, .. } => {
                let test = add(&mut self.program.formulas, test.clone());
                match weight {
                    Weight::Must => self.emit(Op::Must { test }),
                    Weight::Should(anomaly) => self.emit(Op::Should { test, anomaly: *anomaly }),
                };
            }
            Item::Optional { slot, first, items } => {
                let first = self.first(first);
                let skip = self.emit(Op::UnlessFirst { first, to: 0 });
                self.emit(Op::Present { slot: *slot });
                self.items(items);
                self.land(skip);
            }
            Item::When { slot, test, items } => {
                let test = add(&mut self.program.formulas, test.clone());
                let skip = self.emit(Op::Unless { test, to: 0 });
                self.emit(Op::Present { slot: *slot });
                self.items(items);
                self.land(skip);
            }
            Item::Switch { on, fold, arms, otherwise, .. } => {
                let on = add(&mut self.program.formulas, on.clone());
                let name = add(&mut self.program.names, "none of the branches of this choice fits".into());
                let switch = add(
                    &mut self.program.switches,
                    Switch { on, fold: *fold, arms: Vec::new(), otherwise: None, name },
                );
                self.emit(Op::Switch { switch });
                let mut exits = Vec::new();
                let mut targets = Vec::new();
                for arm in arms {
                    targets.push((arm.values.clone(), self.here()));
                    self.items(&arm.items);
                    exits.push(self.emit(Op::Jump { to: 0 }));
                }
                let otherwise = otherwise.as_ref().map(|items| {
                    let start = self.here();
                    self.items(items);
                    start
                });
                exits.into_iter().for_each(|exit| self.land(exit));
                if let Some(switch) = self.program.switches.get_mut(usize::from(switch)) {
                    switch.arms = targets;
                    switch.otherwise = otherwise;
                }
            }
            Item::Choose { arms, otherwise, .. } => {
                let choice = add(&mut self.program.choices, Vec::new());
                self.emit(Op::Choose { choice });
                // Where no branch fits, the machine goes on here.
                match otherwise {
                    Some(items) => self.items(items),
                    None => {
                        let name = add(&mut self.program.names, "none of the branches begins like this".into());
                        self.emit(Op::NoBranch { name });
                    }
                }
                let mut exits = vec![self.emit(Op::Jump { to: 0 })];
                let mut targets = Vec::new();
                for arm in arms {
                    let first = self.first(&arm.first);
                    targets.push((first, self.here()));
                    self.emit(Op::Present { slot: arm.slot });
                    self.items(&arm.items);
                    exits.push(self.emit(Op::Jump { to: 0 }));
                }
                exits.into_iter().for_each(|exit| self.land(exit));
                if let Some(choice) = self.program.choices.get_mut(usize::from(choice)) {
                    *choice = targets;
                }
            }
            Item::Window { size, items, .. } => {
                let size = add(&mut self.program.formulas, size.clone());
                self.emit(Op::OpenWindow { size });
                self.items(items);
                self.emit(Op::CloseWindow);
            }
            Item::Line { max, items, .. } => {
                self.emit(Op::OpenLine { max: *max });
                self.items(items);
                self.emit(Op::CloseLine);
            }
            Item::Many(many) => {
                let many = add(&mut self.program.loops, many.clone());
                self.emit(Op::ListBegin);
                self.emit(Op::ListNext { many });
                self.emit(Op::ListAfter { many });
            }
            Item::Value { slot, rule, .. } => {
                self.emit(Op::Value { slot: *slot, rule: rule.0 });
            }
            Item::Follow { slot, rule, offset, .. } => {
                let offset = add(&mut self.program.formulas, offset.clone());
                self.emit(Op::Follow { slot: *slot, rule: rule.0, offset });
            }
            Item::Fail { text, .. } => {
                let text = add(&mut self.program.templates, text.clone());
                self.emit(Op::Fail { text });
            }
        }
    }

    fn first(&mut self, first: &First) -> u16 {
        add(&mut self.program.firsts, first.clone())
    }

    fn class(&mut self, set: &ClassSet) -> u16 {
        let mut table = [false; 256];
        for (octet, entry) in (0u8..=255).zip(table.iter_mut()) {
            *entry = set.contains(octet);
        }
        add(&mut self.program.classes, table)
    }

    fn field(&mut self, field: &Field) {
        let slot = field.slot.unwrap_or(NO_SLOT);
        let convert = field.convert;
        if can_fail(&field.shape, convert) {
            let name = match self.program.names.iter().position(|name| *name == field.name) {
                Some(index) => u16::try_from(index).unwrap_or(u16::MAX),
                None => add(&mut self.program.names, field.name.clone()),
            };
            self.emit(Op::Name { name });
        }
        let op = match &field.shape {
            Shape::Number { octets, little, signed } => {
                Op::Number { slot, octets: *octets, little: *little, signed: *signed }
            }
            Shape::Bits(bits) => Op::Bits { slot, bits: *bits },
            Shape::Ipv4 => Op::Ipv4 { slot },
            Shape::Ipv6 => Op::Ipv6 { slot },
            Shape::Bytes(size) => Op::Bytes { slot, size: add(&mut self.program.formulas, size.clone()), convert },
            Shape::Rest => Op::Rest { slot, convert },
            Shape::Class { set, min, max } => Op::Class { slot, class: self.class(set), min: *min, max: *max, convert },
            Shape::Until { delimiter, or_end, quote, escape, consume, max } => {
                let class = match delimiter {
                    Delimiter::Class(set) => Some(self.class(set)),
                    Delimiter::Text(_) => None,
                };
                let until = add(
                    &mut self.program.untils,
                    Until {
                        delimiter: delimiter.clone(),
                        class,
                        quote: *quote,
                        escape: *escape,
                        consume: *consume,
                        or_end: *or_end,
                        max: *max,
                    },
                );
                Op::Until { slot, until, convert }
            }
            Shape::Decimal { max } => Op::Decimal { slot, max: *max },
            Shape::Hex { max } => Op::Hex { slot, max: *max },
            Shape::OneOf { texts, end } => {
                Op::OneOf { slot, alternatives: add(&mut self.program.alternatives, (texts.clone(), *end)) }
            }
            Shape::Blanks => {
                let class = self.class(&ClassSet::of([b' ', b'\t']));
                Op::Class { slot, class, min: 0, max: u32::MAX, convert }
            }
            Shape::Newline => Op::Newline,
            Shape::End => Op::End,
        };
        self.emit(op);
    }
}

/// Whether a field may not be there as it should be, so that its name is worth an operation.
fn can_fail(shape: &Shape, convert: Conversion) -> bool {
    match shape {
        Shape::Rest | Shape::Blanks => convert == Conversion::Number,
        Shape::Until { or_end, max, .. } => !or_end || *max < u32::MAX,
        _ => true,
    }
}
