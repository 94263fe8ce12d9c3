//! The interpreter: runs a rule over the octets that are there, and waits for more where they end too early.
//!
//! A run is a plain value. When the octets of an open window end in the middle of a field it gives
//! [`Outcome::Need`], nothing of the field is done, and the same run is continued with more octets later: it never looks
//! twice at what it has searched. Inside a window of known size everything is there before the first field is read, so
//! it suspends between fields, not inside them.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memmem};
use portcullis_lang::{AnomalyId, Host, Place, Scope, Value, decimal, is_in, trimmed};

use super::{NO_SLOT, Op, Program, Until};
use crate::flow_values::FlowValues;
use crate::limits::{MAX_CALLS, MAX_RECORD_ANOMALIES, MAX_SLOTS};
use crate::model::{Conversion, Delimiter, End, First, Literal, Newline, Next, RAW_SLOT, RuleId, RuleKind};
use crate::record::{Record, Slot, Slots};
use crate::template::render;

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
    /// The record's slots.
    pub(crate) slots: Slots,
    /// Broken shoulds: which, and how many octets from the beginning of the record.
    pub(crate) anomalies: Vec<(AnomalyId, u32)>,
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

    fn literal(&mut self, literal: u16) -> Step<u32> {
        let Some(literal) = self.program.literals.get(usize::from(literal)) else { return Ok(self.next()) };
        let (left, open) = self.left();
        match begins_with(left, literal) {
            Some(true) => {
                self.advance(literal.bytes.len());
                Ok(self.next())
            }
            None if open => Err(Stop::Need),
            _ => error(format!("`{}` is not there", literal.bytes.escape_ascii())),
        }
    }

    fn bits(&mut self, slot: u16, bits: u8) -> Step<u32> {
        let (left, open) = self.left();
        let total = usize::from(self.run.bit) + usize::from(bits);
        let Some(octets) = left.get(..total.div_ceil(8)) else {
            return if open { Err(Stop::Need) } else { error(format!("`{}` is cut off", self.field_name())) };
        };
        let mut value: u64 = 0;
        for index in usize::from(self.run.bit)..total {
            let octet = octets.get(index / 8).copied().unwrap_or_default();
            value = (value << 1) | u64::from((octet >> (7 - index % 8)) & 1);
        }
        self.set(slot, Slot::Number(i64::try_from(value).unwrap_or(i64::MAX)));
        self.run.position = self.run.position.saturating_add(to_u32(total / 8));
        self.run.scanned = self.run.position;
        self.run.bit = u8::try_from(total % 8).unwrap_or(0);
        Ok(self.next())
    }

    fn class(&mut self, slot: u16, class: u16, min: u32, max: u32, convert: Conversion) -> Step<u32> {
        let (left, open) = self.left();
        let Some(class) = self.program.classes.get(usize::from(class)) else { return Ok(self.next()) };
        let searched = (self.run.scanned.saturating_sub(self.run.position) as usize).min(left.len());
        let unseen = left.get(searched..).unwrap_or_default();
        let count = match unseen.iter().position(|octet| !class.get(usize::from(*octet)).copied().unwrap_or(false)) {
            Some(length) => searched + length,
            None if open && left.len() <= max as usize => {
                self.run.scanned = self.run.position.saturating_add(to_u32(left.len()));
                return Err(Stop::Need);
            }
            None => left.len(),
        };
        if count > max as usize {
            return error(format!("`{}` has more than {max} octets", self.field_name()));
        }
        if count < min as usize {
            return error(format!("`{}` has {count} octets where {min} have to be", self.field_name()));
        }
        self.keep(slot, left.get(..count).unwrap_or_default(), convert)?;
        self.advance(count);
        Ok(self.next())
    }

    fn until(&mut self, slot: u16, until: u16, convert: Conversion) -> Step<u32> {
        let Some(until) = self.program.untils.get(usize::from(until)) else { return Ok(self.next()) };
        let (left, open) = self.left();
        let searched = (self.run.scanned.saturating_sub(self.run.position) as usize).min(left.len());
        let (length, delimiter) = match self.find(until, left, searched) {
            Some(found) => found,
            // The delimiter may begin in the last octet that the text may have, and end behind it.
            None if open && left.len() < (until.max as usize).saturating_add(until.longest_delimiter()) => {
                self.run.scanned = self.run.position.saturating_add(to_u32(left.len()));
                return Err(Stop::Need);
            }
            None if open => (left.len(), 0),
            None if until.or_end => (left.len(), 0),
            None => return error(format!("the end of `{}` is not there", self.field_name())),
        };
        if length > until.max as usize {
            return error(format!("`{}` has more than {} octets", self.field_name(), until.max));
        }
        self.keep(slot, left.get(..length).unwrap_or_default(), convert)?;
        self.advance(if until.consume { length + delimiter } else { length });
        Ok(self.next())
    }

    /// Where the delimiter is and how long it is. Nothing before `searched` is looked at again, where that can be told.
    fn find(&self, until: &Until, left: &[u8], searched: usize) -> Option<(usize, usize)> {
        if until.quote.is_some() || until.escape.is_some() {
            return self.find_quoted(until, left);
        }
        match (&until.delimiter, until.class) {
            (Delimiter::Text(text), _) => {
                let from = searched.saturating_sub(text.len().saturating_sub(1));
                let found = memmem::find(left.get(from..)?, text)?;
                Some((from + found, text.len()))
            }
            (Delimiter::Class(_), class) => {
                let class = self.program.classes.get(usize::from(class?))?;
                let unseen = left.get(searched..)?;
                let found = unseen.iter().position(|octet| class.get(usize::from(*octet)).copied().unwrap_or(false))?;
                Some((searched + found, 1))
            }
        }
    }

    fn find_quoted(&self, until: &Until, left: &[u8]) -> Option<(usize, usize)> {
        let is_delimiter = |at: usize| match (&until.delimiter, until.class) {
            (Delimiter::Text(text), _) => left.get(at..).filter(|rest| rest.starts_with(text)).map(|_| text.len()),
            (Delimiter::Class(_), class) => {
                let class = self.program.classes.get(usize::from(class?))?;
                left.get(at).filter(|octet| class.get(usize::from(**octet)).copied().unwrap_or(false)).map(|_| 1)
            }
        };
        let (_, open) = self.end();
        let mut quote = until.quote;
        let mut at = 0;
        while let Some(octet) = left.get(at) {
            if until.escape == Some(*octet) {
                at += 2;
            } else if quote == Some(*octet) {
                match end_of_quotes(until, left, at) {
                    Some(end) => at = end,
                    None if open => return None,
                    // A stretch without an end is none, and neither is any behind it.
                    None => {
                        quote = None;
                        at += 1;
                    }
                }
            } else if let Some(length) = is_delimiter(at) {
                return Some((at, length));
            } else {
                at += 1;
            }
        }
        None
    }

    fn digits(&mut self, slot: u16, max: u32, radix: u32) -> Step<u32> {
        let (left, open) = self.left();
        let count = left.iter().take_while(|octet| char::from(**octet).is_digit(radix)).count();
        if count == left.len() && open && count <= max as usize {
            return Err(Stop::Need);
        }
        if count == 0 || count > max as usize {
            return error(format!("`{}` is not a number of 1 to {max} digits", self.field_name()));
        }
        let value = left.iter().take(count).try_fold(0i64, |value, octet| {
            let digit = char::from(*octet).to_digit(radix)?;
            value.checked_mul(i64::from(radix))?.checked_add(i64::from(digit))
        });
        let Some(value) = value else { return error(format!("`{}` is too large a number", self.field_name())) };
        self.set(slot, Slot::Number(value));
        self.advance(count);
        Ok(self.next())
    }

    fn one_of(&mut self, slot: u16, alternatives: u16) -> Step<u32> {
        let Some((texts, or_end)) = self.program.alternatives.get(usize::from(alternatives)) else {
            return Ok(self.next());
        };
        let (left, open) = self.left();
        for text in texts {
            match begins_with(left, text) {
                Some(true) => {
                    self.keep(slot, left.get(..text.bytes.len()).unwrap_or_default(), Conversion::None)?;
                    self.advance(text.bytes.len());
                    return Ok(self.next());
                }
                None if open => return Err(Stop::Need),
                _ => {}
            }
        }
        if *or_end && left.is_empty() {
            self.keep(slot, left, Conversion::None)?;
            return Ok(self.next());
        }
        error(format!("`{}` is none of the texts it may be", self.field_name()))
    }

    fn newline(&mut self) -> Step<u32> {
        let newline = self.program.protocol.newline;
        let (left, open) = self.left();
        match left {
            [b'\r', b'\n', ..] if newline.crlf => self.advance(2),
            [b'\n', ..] if newline.lf => {
                if let Some(anomaly) = newline.bare_lf {
                    self.run.note(anomaly, self.run.position);
                }
                self.advance(1);
            }
            [] | [b'\r'] if open => return Err(Stop::Need),
            _ => return error("the line goes on where it should end"),
        }
        Ok(self.next())
    }

    fn open_line(&mut self, max: u32) -> Step<u32> {
        let newline = self.program.protocol.newline;
        let (left, open) = self.left();
        let mut from = (self.run.scanned.saturating_sub(self.run.position) as usize).min(left.len());
        let (content, length, crlf) = loop {
            match memchr(b'\n', left.get(from..).unwrap_or_default()) {
                Some(found) => {
                    let at = from + found;
                    let crlf = at.checked_sub(1).and_then(|before| left.get(before)) == Some(&b'\r');
                    if crlf && newline.crlf {
                        break (at - 1, at + 1, true);
                    }
                    if newline.lf {
                        break (at, at + 1, false);
                    }
                    from = at + 1;
                }
                None if left.len() >= max as usize => break (left.len(), left.len(), true),
                None if open => {
                    self.run.scanned = self.run.position.saturating_add(to_u32(left.len()));
                    return Err(Stop::Need);
                }
                None => return error("the line has no end"),
            }
        };
        if length > max as usize || length == content {
            return error(format!("a line of more than {max} octets"));
        }
        let start = self.run.position;
        self.run.note_line(&newline, left.get(..content).unwrap_or_default(), crlf, start);
        let end = start.saturating_add(to_u32(content));
        self.run.windows.push(Window { end, after: start.saturating_add(to_u32(length)) });
        self.run.scanned = start;
        Ok(self.next())
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

    fn list_next(&mut self, many: u16) -> Step<u32> {
        let program = self.program;
        let Some(many) = program.loops.get(usize::from(many)) else { return Ok(self.next()) };
        let (left, open) = self.left();
        let count = self.run.repeats.last().map_or(0, |repeat| repeat.count);
        let more = match &many.end {
            End::Window if left.is_empty() && open => return Err(Stop::Need),
            End::Window => !left.is_empty(),
            End::Count(formula) => match formula.value(&self.host()) {
                Value::Number(number) => i64::from(count) < number,
                _ => return error(format!("the number of `{}` is not there", many.name)),
            },
            End::Until(_) | End::While(_) => true,
            End::UntilLiteral(literal) => match begins_with(left, literal) {
                Some(true) => {
                    self.advance(literal.bytes.len());
                    false
                }
                None if open => return Err(Stop::Need),
                _ => true,
            },
            End::UntilEmptyLine => match left {
                [b'\r', b'\n', ..] if program.protocol.newline.crlf => {
                    self.advance(2);
                    false
                }
                [b'\n', ..] if program.protocol.newline.lf => {
                    if let Some(anomaly) = program.protocol.newline.bare_lf {
                        self.run.note(anomaly, self.run.position);
                    }
                    self.advance(1);
                    false
                }
                [] | [b'\r'] if open => return Err(Stop::Need),
                _ => true,
            },
            End::First(first) => match decide(first, left, open) {
                Some(decision) => decision,
                None => return Err(Stop::Need),
            },
        };
        if !more {
            return Ok(self.list_end(many.slot));
        }
        if count >= many.max {
            return error(format!("more than {} `{}`", many.max, many.name));
        }
        let position = self.run.position;
        let next = self.call(many.element.0, CallKind::Element, position)?;
        self.run.pending.push(self.run.base);
        if let Some(repeat) = self.run.repeats.last_mut() {
            repeat.at = position;
        }
        Ok(next)
    }

    fn list_after(&mut self, many: u16) -> Step<u32> {
        let program = self.program;
        let Some(many) = program.loops.get(usize::from(many)) else { return Ok(self.next()) };
        let element = self.run.pending.last().copied();
        let host = RunHost { element, ..self.host() };
        let ends = match &many.end {
            End::Until(test) => test.test(&host).holds(),
            End::While(test) => !test.test(&host).holds(),
            _ => false,
        };
        let counted = matches!(many.end, End::Count(_));
        let mut stuck = false;
        if let Some(repeat) = self.run.repeats.last_mut() {
            repeat.count = repeat.count.saturating_add(1);
            stuck = repeat.at == self.run.position && self.run.bit == 0 && !counted;
        }
        if ends {
            return Ok(self.list_end(many.slot));
        }
        if stuck {
            return error(format!("an element of `{}` without octets", many.name));
        }
        Ok(self.run.pc.wrapping_sub(1))
    }

    /// Stores the list and gives the operation behind its [`Op::ListAfter`].
    fn list_end(&mut self, slot: u16) -> u32 {
        if let Some(repeat) = self.run.repeats.pop() {
            let first = to_u32(self.run.slots.elements.len());
            let elements = self.run.pending.split_off((repeat.mark as usize).min(self.run.pending.len()));
            let count = to_u32(elements.len());
            self.run.slots.elements.extend(elements);
            self.set(slot, Slot::List { first, count });
        }
        match self.program.ops.get(self.run.pc as usize) {
            Some(Op::ListNext { .. }) => self.run.pc.wrapping_add(2),
            _ => self.run.pc.wrapping_add(1),
        }
    }

    fn call(&mut self, rule: u16, kind: CallKind, start: u32) -> Step<u32> {
        let Some(callee) = self.program.protocol.rules.get(usize::from(rule)) else { return Ok(self.next()) };
        let Some(entry) = self.program.entries.get(usize::from(rule)) else { return Ok(self.next()) };
        let calls = self.run.calls.iter();
        let around = if callee.depth == 0 { 0 } else { calls.filter(|call| call.rule == rule).count() };
        let around = around.saturating_add(usize::from(self.run.rule == rule));
        if self.run.calls.len() >= MAX_CALLS || (callee.depth > 0 && around > usize::from(callee.depth)) {
            return error(format!("`{}` is nested too deep", callee.name));
        }
        let base = self.run.slots.slots.len();
        if base.saturating_add(usize::from(callee.layout.width)) > MAX_SLOTS {
            return error("a record of too many parts");
        }
        self.run.calls.push(Call {
            return_to: self.run.pc.wrapping_add(1),
            base: self.run.base,
            start: self.run.start,
            limit: self.run.limit,
            rule,
            kind,
        });
        self.run.slots.slots.resize(base + usize::from(callee.layout.width), Slot::Absent);
        self.run.base = to_u32(base);
        self.run.start = start;
        if !matches!(kind, CallKind::Element) {
            self.run.limit = start;
        }
        Ok(match kind {
            CallKind::Element => entry.element,
            _ => entry.start,
        })
    }

    fn return_from(&mut self) -> Step<u32> {
        let Some(call) = self.run.calls.last().copied() else {
            let (left, open) = self.left();
            let closed = self.run.windows.last().is_some_and(|window| window.end != OPEN);
            if closed && !open && !left.is_empty() {
                return error(format!("{} octets are left over", left.len()));
            }
            if self.run.bit != 0 {
                return error("the record ends inside an octet");
            }
            self.run.slots.raw_end = self.run.position;
            return Err(Stop::Done);
        };
        let callee = self.program.protocol.rules.get(usize::from(call.rule));
        let result = match (callee, call.kind) {
            (Some(rule), CallKind::Value { slot } | CallKind::Follow { slot, .. }) => {
                let made = match (&rule.result, rule.kind) {
                    (Some(result), RuleKind::Value) => Made::of(result.value(&self.host()), self.octets),
                    _ => Made::Slot(Slot::Boolean(true)),
                };
                if made.length() > rule.max as usize {
                    return error(format!("`{}` of more than {} octets", rule.name, rule.max));
                }
                Some((slot, made))
            }
            _ => None,
        };
        self.run.calls.pop();
        self.run.base = call.base;
        self.run.start = call.start;
        self.run.limit = call.limit;
        if let CallKind::Follow { position, windows, .. } = call.kind {
            self.run.position = position;
            self.run.scanned = position;
            self.run.bit = 0;
            self.run.windows.truncate(usize::from(windows));
        }
        if let Some((slot, made)) = result {
            let value = made.store(&mut self.run.slots);
            self.set(slot, value);
        }
        Ok(call.return_to)
    }

    fn keep(&mut self, slot: u16, octets: &[u8], convert: Conversion) -> Step<()> {
        let octets = if convert == Conversion::Trimmed { trimmed(octets) } else { octets };
        let value = match convert {
            Conversion::Number => match decimal(octets) {
                Some(number) => Slot::Number(number),
                None => return error(format!("`{}` is not a number", self.field_name())),
            },
            Conversion::Lowercase if octets.iter().any(u8::is_ascii_uppercase) => {
                Made::Text(octets.to_ascii_lowercase()).store(&mut self.run.slots)
            }
            _ => Made::piece(octets, self.octets).unwrap_or(Slot::Absent),
        };
        self.set(slot, value);
        Ok(())
    }
}

/// The place behind the octet that closes the quotes that open at a place.
fn end_of_quotes(until: &Until, left: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    while let Some(octet) = left.get(at) {
        if *octet == b'\\' || until.escape == Some(*octet) {
            at += 2;
        } else if until.quote == Some(*octet) {
            return Some(at + 1);
        } else {
            at += 1;
        }
    }
    None
}

/// A value that was made while the record's slots were being read.
enum Made {
    Slot(Slot),
    Text(Vec<u8>),
}

impl Made {
    fn of(value: Value<'_>, octets: &[u8]) -> Made {
        match value {
            Value::Boolean(value) => Made::Slot(Slot::Boolean(value)),
            Value::Number(number) => Made::Slot(Slot::Number(number)),
            Value::Bytes(Cow::Owned(text)) => Made::Text(text),
            Value::Bytes(Cow::Borrowed(text)) => match Made::piece(text, octets) {
                Some(slot) => Made::Slot(slot),
                None => Made::Text(text.to_vec()),
            },
            Value::Unknown | Value::Absent | Value::Address(_) => Made::Slot(Slot::Absent),
        }
    }

    /// The slot of text that lies in the record.
    fn piece(text: &[u8], octets: &[u8]) -> Option<Slot> {
        let start = (text.as_ptr() as usize).checked_sub(octets.as_ptr() as usize)?;
        let end = start.checked_add(text.len())?;
        (end <= octets.len()).then(|| Slot::Piece { start: to_u32(start), end: to_u32(end) })
    }

    fn length(&self) -> usize {
        match self {
            Made::Slot(Slot::Piece { start, end }) => end.saturating_sub(*start) as usize,
            Made::Slot(_) => 0,
            Made::Text(text) => text.len(),
        }
    }

    fn store(self, slots: &mut Slots) -> Slot {
        match self {
            Made::Slot(slot) => slot,
            Made::Text(text) => {
                let start = to_u32(slots.scratch.len());
                slots.scratch.extend_from_slice(&text);
                Slot::Computed { start, end: to_u32(slots.scratch.len()) }
            }
        }
    }
}

/// What formulas see while a rule runs.
struct RunHost<'a> {
    run: &'a Run,
    octets: &'a [u8],
    flow: &'a FlowValues,
    element: Option<u32>,
    raw_end: u32,
}

impl RunHost<'_> {
    fn record(&self) -> Record<'_> {
        Record { octets: self.octets, slots: &self.run.slots }
    }
}

impl Host for RunHost<'_> {
    fn read(&self, place: Place) -> Value<'_> {
        match place.scope {
            Scope::Record if place.slot == RAW_SLOT => {
                let raw = self.octets.get(self.run.start as usize..self.raw_end as usize);
                Value::bytes(raw.unwrap_or_default())
            }
            Scope::Record => self.record().value_at(self.run.base, place.slot),
            Scope::Element => match self.element {
                Some(base) => self.record().value_at(base, place.slot),
                None => Value::Absent,
            },
            Scope::Flow => self.flow.read(place.slot),
            Scope::Event | Scope::Connection => Value::Absent,
        }
    }

    fn count(&self, list: Place) -> u32 {
        match (list.scope, self.element) {
            (Scope::Record, _) => self.record().count_at(self.run.base, list.slot),
            (Scope::Element, Some(base)) => self.record().count_at(base, list.slot),
            _ => 0,
        }
    }

    fn element(&self, list: Place, index: u32, slot: u16) -> Value<'_> {
        let base = match (list.scope, self.element) {
            (Scope::Record, _) => self.record().element_base_at(self.run.base, list.slot, index),
            (Scope::Element, Some(base)) => self.record().element_base_at(base, list.slot, index),
            _ => None,
        };
        base.map_or(Value::Absent, |base| self.record().value_at(base, slot))
    }
}

/// Whether the octets begin with the literal; nothing if they end before that can be told.
fn begins_with(octets: &[u8], literal: &Literal) -> Option<bool> {
    let known = octets.len().min(literal.bytes.len());
    let (there, wanted) = (octets.get(..known)?, literal.bytes.get(..known)?);
    let same = if literal.fold { there.eq_ignore_ascii_case(wanted) } else { there == wanted };
    match (same, known == literal.bytes.len()) {
        (false, _) => Some(false),
        (true, true) => Some(true),
        (true, false) => None,
    }
}

/// Whether the octets begin with one of the prefixes; nothing if that cannot be told before more octets come.
pub(crate) fn decide(first: &First, octets: &[u8], open: bool) -> Option<bool> {
    let mut undecided = false;
    for prefix in &first.prefixes {
        let next = octets.get(prefix.literal.bytes.len());
        let fits = match (begins_with(octets, &prefix.literal), &prefix.next, next) {
            (Some(false), _, _) => Some(false),
            (None, _, _) => None,
            (Some(true), Next::Any, _) => Some(true),
            (Some(true), Next::Class(set), Some(octet)) => Some(set.contains(*octet)),
            (Some(true), Next::End, Some(_)) => Some(false),
            (Some(true), Next::Class(_), None) => None,
            (Some(true), Next::End, None) if open => None,
            (Some(true), Next::End, None) => Some(true),
        };
        match fits {
            Some(true) => return Some(true),
            Some(false) => {}
            None => undecided = true,
        }
    }
    if undecided && open { None } else { Some(false) }
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
