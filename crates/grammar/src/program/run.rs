//! The interpreter: runs a rule over the octets that are there, and waits for more where they end too early.
//!
//! A run is a plain value. When the octets of an open window end in the middle of a field it gives
//! [`Outcome::Need`], nothing of the field is done, and the same run is continued with more octets later: it never looks
//! twice at what it has searched. Inside a window of known size everything is there before the first field is read, so
//! it suspends between fields, not inside them.

mod fields;
mod host;
mod parts;
mod prefix;

use std::borrow::Cow;

use memchr::{memchr, memchr2, memmem};
use portcullis_lang::{AnomalyId, Host, Place, Scope, Value, decimal, is_in, trimmed};

use super::{NO_SLOT, Op, Program, Until};
use crate::flow_values::FlowValues;
use crate::limits::{MAX_CALLS, MAX_RECORD_ANOMALIES, MAX_SLOTS};
use crate::model::{Conversion, Delimiter, End, Newline, RAW_SLOT, RuleId, RuleKind};
use crate::record::{Record, Slot, Slots};
use crate::template::render;

use host::{Made, RunHost};
use prefix::begins_with;
pub(crate) use prefix::decide;

/// What a run has come to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The record is complete, this many octets long.
    Complete(u32),
    /// More octets are needed.
    Need,
    /// These octets are no such record.
    Failed(ParseError),
}

/// Why octets are not the record that was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParseError {
    /// Octets from the beginning of the record.
    pub(crate) at: u32,
    /// What is wrong.
    pub(crate) text: String,
}

/// The end of a window that reaches as far as octets come.
const OPEN: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Window {
    end: u32,
    /// Where reading goes on behind it: behind the newline, for a line.
    after: u32,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    return_to: u32,
    base: u32,
    start: u32,
    limit: u32,
    rule: u16,
    kind: CallKind,
}

#[derive(Clone, Copy, Debug)]
enum CallKind {
    Element,
    Value { slot: u16 },
    Follow { slot: u16, position: u32, windows: u16 },
}

#[derive(Clone, Copy, Debug)]
struct Repeat {
    count: u32,
    /// Where its elements begin among the pending ones.
    mark: u32,
    /// Where the last element began.
    at: u32,
}

/// A rule being run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    pc: u32,
    position: u32,
    bit: u8,
    scanned: u32,
    base: u32,
    /// The rule of the record.
    rule: u16,
    /// Where the rule at hand began.
    start: u32,
    /// Jumps of `follow` have to go before this place.
    limit: u32,
    name: u16,
    windows: Vec<Window>,
    calls: Vec<Call>,
    repeats: Vec<Repeat>,
    pending: Vec<u32>,
    /// Where each of the pending elements begins and ends.
    pending_spans: Vec<(u32, u32)>,
    /// The record's slots.
    pub(crate) slots: Slots,
    /// Broken shoulds: which, and how many octets from the beginning of the record.
    pub(crate) anomalies: Vec<(AnomalyId, u32)>,
}

impl Run {
    /// Octets of memory that it takes beside itself.
    pub(crate) fn memory(&self) -> usize {
        self.slots.memory()
            + self.windows.capacity() * size_of::<Window>()
            + self.calls.capacity() * size_of::<Call>()
            + self.repeats.capacity() * size_of::<Repeat>()
            + self.pending.capacity() * size_of::<u32>()
            + self.anomalies.capacity() * size_of::<(AnomalyId, u32)>()
    }
}

enum Stop {
    Need,
    Error(String),
    Done,
}

type Step<T> = Result<T, Stop>;

fn error<T>(text: impl Into<String>) -> Step<T> {
    Err(Stop::Error(text.into()))
}

fn to_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

impl Run {
    /// Begins a rule whose end its own fields will tell, or the direction's end.
    pub(crate) fn start(&mut self, program: &Program, rule: RuleId) {
        self.begin(program, rule, Window { end: OPEN, after: OPEN });
    }

    /// Begins a rule over exactly `content` octets of a record; a line has its newline behind them.
    pub(crate) fn start_closed(&mut self, program: &Program, rule: RuleId, content: usize) {
        self.begin(program, rule, Window { end: to_u32(content), after: to_u32(content) });
    }

    fn begin(&mut self, program: &Program, rule: RuleId, window: Window) {
        let index = usize::from(rule.0);
        self.pc = program.entries.get(index).map_or(0, |entry| entry.start);
        self.position = 0;
        self.bit = 0;
        self.scanned = 0;
        self.base = 0;
        self.rule = rule.0;
        self.start = 0;
        self.limit = 0;
        self.windows.clear();
        self.windows.push(window);
        self.calls.clear();
        self.repeats.clear();
        self.pending.clear();
        self.pending_spans.clear();
        self.anomalies.clear();
        self.slots.reset(program.protocol.rules.get(index).map_or(0, |rule| rule.layout.width));
    }

    /// Runs as far as the octets reach. `octets` begin with the record; `complete`: no more will come.
    pub(crate) fn run(&mut self, program: &Program, octets: &[u8], complete: bool, flow: &FlowValues) -> Outcome {
        let mut step = Stepper { run: self, program, octets, complete, flow };
        loop {
            let Some(op) = program.ops.get(step.run.pc as usize).copied() else {
                return Outcome::Failed(ParseError { at: step.run.position, text: "the program has ended".into() });
            };
            match step.op(op) {
                Ok(next) => step.run.pc = next,
                Err(Stop::Need) => return Outcome::Need,
                Err(Stop::Done) => return Outcome::Complete(step.run.position),
                Err(Stop::Error(text)) => return Outcome::Failed(ParseError { at: step.run.position, text }),
            }
        }
    }

    /// Takes note of a broken *should*, `at` octets from the beginning of the record.
    pub(crate) fn note(&mut self, anomaly: AnomalyId, at: u32) {
        if self.anomalies.len() < MAX_RECORD_ANOMALIES {
            self.anomalies.push((anomaly, at));
        }
    }

    /// Notes what a line's octets say about its newline policy. `content` is the line without its newline, which was
    /// CR LF if `crlf`; it begins `at` octets from the beginning of the record.
    pub(crate) fn note_line(&mut self, newline: &Newline, content: &[u8], crlf: bool, at: u32) {
        if let (Some(anomaly), false) = (newline.bare_lf, crlf) {
            self.note(anomaly, at.saturating_add(to_u32(content.len())));
        }
        if newline.bare_cr.is_none() && newline.nul.is_none() {
            return;
        }
        if let Some(first) = memchr2(b'\r', 0, content) {
            let rest = content.get(first..).unwrap_or_default();
            for (octet, anomaly) in [(b'\r', newline.bare_cr), (0, newline.nul)] {
                if let (Some(anomaly), Some(found)) = (anomaly, memchr(octet, rest)) {
                    self.note(anomaly, at.saturating_add(to_u32(first)).saturating_add(to_u32(found)));
                }
            }
        }
    }
}

struct Stepper<'a> {
    run: &'a mut Run,
    program: &'a Program,
    octets: &'a [u8],
    complete: bool,
    flow: &'a FlowValues,
}

impl<'a> Stepper<'a> {
    /// The end of the window, as far as octets are there, and whether more may come.
    fn end(&self) -> (usize, bool) {
        match self.run.windows.last() {
            Some(window) if window.end != OPEN => ((window.end as usize).min(self.octets.len()), false),
            _ => (self.octets.len(), !self.complete),
        }
    }

    fn position(&self) -> usize {
        self.run.position as usize
    }

    /// What is left of the window, and whether more may come.
    fn left(&self) -> (&'a [u8], bool) {
        let (end, open) = self.end();
        (self.octets.get(self.position()..end).unwrap_or_default(), open)
    }

    fn next(&self) -> u32 {
        self.run.pc.wrapping_add(1)
    }

    fn advance(&mut self, octets: usize) {
        self.run.position = self.run.position.saturating_add(to_u32(octets));
        self.run.scanned = self.run.position;
    }

    fn field_name(&self) -> &str {
        self.program.names.get(usize::from(self.run.name)).map_or("", String::as_str)
    }

    fn set(&mut self, slot: u16, value: Slot) {
        if slot == NO_SLOT {
            return;
        }
        let index = (self.run.base as usize).saturating_add(usize::from(slot));
        if let Some(entry) = self.run.slots.slots.get_mut(index) {
            *entry = value;
        }
    }

    /// The next `count` octets; they are not consumed.
    fn take(&self, count: usize) -> Step<&'a [u8]> {
        if self.run.bit != 0 {
            return error("a field of whole octets begins inside an octet");
        }
        let (left, open) = self.left();
        match left.get(..count) {
            Some(octets) => Ok(octets),
            None if open => Err(Stop::Need),
            None => {
                error(format!("{} octets of `{}` are missing", count.saturating_sub(left.len()), self.field_name()))
            }
        }
    }

    fn host(&self) -> RunHost<'_> {
        let run = &*self.run;
        // What has come beyond the place at hand must not matter, so it does not where the end is not known.
        let raw_end = match self.run.windows.last() {
            Some(window) if window.end != OPEN => window.end,
            _ => run.position,
        };
        RunHost { run, octets: self.octets, flow: self.flow, element: None, raw_end }
    }

    fn formula(&self, index: u16) -> &'a portcullis_lang::Formula {
        const NEVER: &portcullis_lang::Formula = &portcullis_lang::Formula::Boolean(false);
        self.program.formulas.get(usize::from(index)).unwrap_or(NEVER)
    }

    /// A size in octets.
    fn size(&self, index: u16) -> Step<usize> {
        match self.formula(index).value(&self.host()) {
            Value::Number(number) => match usize::try_from(number) {
                Ok(size) => Ok(size),
                Err(_) => error(format!("a size of {number} octets")),
            },
            _ => error("a size that is not there"),
        }
    }

    fn op(&mut self, op: Op) -> Step<u32> {
        match op {
            Op::Name { name } => {
                self.run.name = name;
                Ok(self.next())
            }
            Op::Literal { literal } => self.literal(literal),
            Op::Number { slot, octets, little, signed } => {
                let taken = self.take(usize::from(octets))?;
                let value = number(taken, little, signed);
                self.set(slot, Slot::Number(value));
                self.advance(taken.len());
                Ok(self.next())
            }
            Op::Bits { slot, bits } => self.bits(slot, bits),
            Op::Ipv4 { slot } => {
                self.take(4)?;
                self.set(slot, Slot::Ipv4 { start: self.run.position });
                self.advance(4);
                Ok(self.next())
            }
            Op::Ipv6 { slot } => {
                self.take(16)?;
                self.set(slot, Slot::Ipv6 { start: self.run.position });
                self.advance(16);
                Ok(self.next())
            }
            Op::Bytes { slot, size, convert } => {
                let size = self.size(size)?;
                let taken = self.take(size)?;
                self.keep(slot, taken, convert)?;
                self.advance(size);
                Ok(self.next())
            }
            Op::Rest { slot, convert } => {
                let (left, open) = self.left();
                if open {
                    return Err(Stop::Need);
                }
                self.keep(slot, left, convert)?;
                self.advance(left.len());
                Ok(self.next())
            }
            Op::Class { slot, class, min, max, convert } => self.class(slot, class, min, max, convert),
            Op::Until { slot, until, convert } => self.until(slot, until, convert),
            Op::Decimal { slot, max } => self.digits(slot, max, 10),
            Op::Hex { slot, max } => self.digits(slot, max.min(16), 16),
            Op::OneOf { slot, alternatives } => self.one_of(slot, alternatives),
            Op::Newline => self.newline(),
            Op::End => {
                let (left, open) = self.left();
                match (left.is_empty(), open) {
                    (true, true) => Err(Stop::Need),
                    (true, false) => Ok(self.next()),
                    (false, _) => error(format!("{} octets come where nothing should", left.len())),
                }
            }
            Op::Let { slot, value } => {
                let made = Made::of(self.formula(value).value(&self.host()), self.octets);
                let slot_value = made.store(&mut self.run.slots);
                self.set(slot, slot_value);
                Ok(self.next())
            }
            Op::Must { test } => {
                if self.formula(test).test(&self.host()).possible() {
                    Ok(self.next())
                } else {
                    error("a `must` does not hold")
                }
            }
            Op::Should { test, anomaly } => {
                if !self.formula(test).test(&self.host()).possible() {
                    self.run.note(anomaly, self.run.position);
                }
                Ok(self.next())
            }
            Op::UnlessFirst { first, to } => Ok(if self.first(first)? { self.next() } else { to }),
            Op::Unless { test, to } => Ok(if self.formula(test).test(&self.host()).holds() { self.next() } else { to }),
            Op::Present { slot } => {
                self.set(slot, Slot::Boolean(true));
                Ok(self.next())
            }
            Op::Jump { to } => Ok(to),
            Op::Switch { switch } => self.switch(switch),
            Op::Choose { choice } => {
                let program = self.program;
                for (first, to) in program.choices.get(usize::from(choice)).into_iter().flatten() {
                    if self.first(*first)? {
                        return Ok(*to);
                    }
                }
                Ok(self.next())
            }
            Op::NoBranch { name } => {
                error(self.program.names.get(usize::from(name)).map_or("no branch fits", String::as_str))
            }
            Op::OpenWindow { size } => {
                let size = self.size(size)?;
                let (left, open) = self.left();
                if left.len() < size {
                    if open {
                        return Err(Stop::Need);
                    }
                    return error(format!("{size} octets are announced where {} are left", left.len()));
                }
                let end = self.run.position.saturating_add(to_u32(size));
                self.run.windows.push(Window { end, after: end });
                Ok(self.next())
            }
            Op::OpenLine { max } => self.open_line(max),
            Op::CloseWindow | Op::CloseLine => {
                let (left, _) = self.left();
                if !left.is_empty() || self.run.bit != 0 {
                    return error(format!("{} octets are left over", left.len()));
                }
                if let Some(window) = self.run.windows.pop() {
                    self.run.position = window.after;
                    self.run.scanned = window.after;
                }
                Ok(self.next())
            }
            Op::ListBegin => {
                let mark = to_u32(self.run.pending.len());
                self.run.repeats.push(Repeat { count: 0, mark, at: self.run.position });
                Ok(self.next())
            }
            Op::ListNext { many } => self.list_next(many),
            Op::ListAfter { many } => self.list_after(many),
            Op::Value { slot, rule } => {
                let position = self.run.position;
                self.call(rule, CallKind::Value { slot }, position)
            }
            Op::Follow { slot, rule, offset } => {
                let target = self.size(offset)?;
                if target >= self.run.limit as usize {
                    return error(format!("a jump to octet {target}, which is not before octet {}", self.run.limit));
                }
                let kind = CallKind::Follow {
                    slot,
                    position: self.run.position,
                    windows: u16::try_from(self.run.windows.len()).unwrap_or(u16::MAX),
                };
                // The jump leaves the windows it stands in: the whole record can be read from there.
                let outer = self.run.windows.first().copied().unwrap_or(Window { end: OPEN, after: OPEN });
                self.run.windows.push(outer);
                let next = self.call(rule, kind, to_u32(target))?;
                self.run.position = to_u32(target);
                self.run.scanned = self.run.position;
                Ok(next)
            }
            Op::Fail { text } => {
                let text = self.program.templates.get(usize::from(text));
                let text = text.map(|text| render(text, &self.host())).unwrap_or_default();
                error(text)
            }
            Op::Return => self.return_from(),
        }
    }

    fn switch(&mut self, switch: u16) -> Step<u32> {
        let Some(switch) = self.program.switches.get(usize::from(switch)) else { return Ok(self.next()) };
        let host = self.host();
        let value = self.formula(switch.on).value(&host);
        for (values, to) in &switch.arms {
            if is_in(&value, values, switch.fold) {
                return Ok(*to);
            }
        }
        match switch.otherwise {
            Some(to) => Ok(to),
            None => {
                let text = self.program.names.get(usize::from(switch.name)).map_or("no branch fits", String::as_str);
                error(text)
            }
        }
    }

    /// Whether one of the prefixes is there.
    fn first(&self, first: u16) -> Step<bool> {
        let Some(first) = self.program.firsts.get(usize::from(first)) else { return Ok(false) };
        let (left, open) = self.left();
        match decide(first, left, open) {
            Some(decision) => Ok(decision),
            None => Err(Stop::Need),
        }
    }
}

fn number(octets: &[u8], little: bool, signed: bool) -> i64 {
    let mut value: u64 = 0;
    let mut put = |octet: &u8| value = (value << 8) | u64::from(*octet);
    if little {
        octets.iter().rev().for_each(&mut put)
    } else {
        octets.iter().for_each(&mut put)
    }
    if signed {
        let shift = 64usize.saturating_sub(octets.len().saturating_mul(8)).min(63);
        return (value << shift).cast_signed() >> shift;
    }
    i64::try_from(value).unwrap_or(i64::MAX)
}
