//! Records, by recursion over the items of the model.

use std::net::{Ipv4Addr, Ipv6Addr};

use portcullis_lang::{AnomalyId, Formula, Value, decimal, is_in};

use super::value::{Fields, Leaf, View, put};
use crate::limits::MAX_CALLS;
use crate::model::{
    ClassSet, Conversion, Delimiter, End, Field, First, Item, Literal, Many, Newline, Next, Protocol, Rule, RuleId,
    RuleKind, Shape, Weight,
};

/// How far the octets of a record reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The first so many octets are the record, all of them; a line's newline may follow.
    Exactly(usize),
    /// The octets begin with the record, and more of them may come.
    Open,
    /// The octets begin with the record, and no more of them will come.
    Ended,
}

/// What reading a record comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A record.
    Complete(Parsed),
    /// It depends on octets that have not come.
    More,
    /// These octets are no such record; in words.
    Wrong(String),
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Its slots.
    pub fields: Fields,
    /// Octets that it took, without the newline of a line.
    pub length: usize,
    /// Broken shoulds, and how many octets of the record come before each.
    pub anomalies: Vec<(AnomalyId, usize)>,
}

/// Reads a record of a rule. `flow`: what the flow keeps.
pub fn read(protocol: &Protocol, rule: RuleId, octets: &[u8], extent: Extent, flow: &Fields) -> Reading {
    let Some(rule) = protocol.rules.get(usize::from(rule.0)) else { return Reading::Wrong("no such rule".into()) };
    let end = match extent {
        Extent::Exactly(length) => Some(length.min(octets.len())),
        Extent::Open | Extent::Ended => None,
    };
    let more = extent == Extent::Open;
    let within = vec![rule.name.clone()];
    let mut reader = Reader { protocol, octets, more, top: end, flow, bits: 0, within, anomalies: Vec::new() };
    let mut frame = Frame::new(rule, 0, 0);
    let outcome = reader.items(&rule.items, &mut frame, end).and_then(|()| {
        let at = reader.whole_octets()?;
        match end {
            Some(end) if at != end => wrong("octets are left over"),
            _ => Ok(at),
        }
    });
    match outcome {
        Ok(length) => Reading::Complete(Parsed { fields: frame.fields, length, anomalies: reader.anomalies }),
        Err(Stop::More) => Reading::More,
        Err(Stop::Wrong(text)) => Reading::Wrong(text),
    }
}

enum Stop {
    More,
    Wrong(String),
}

type Step<T> = Result<T, Stop>;

fn wrong<T>(text: impl Into<String>) -> Step<T> {
    Err(Stop::Wrong(text.into()))
}

/// One instance of a rule while it is read.
struct Frame {
    fields: Fields,
    /// Where it began.
    start: usize,
    /// What `follow` has to stay before.
    limit: usize,
}

impl Frame {
    fn new(rule: &Rule, start: usize, limit: usize) -> Frame {
        Frame { fields: vec![Leaf::Absent; usize::from(rule.layout.width)], start, limit }
    }
}

struct Reader<'a> {
    protocol: &'a Protocol,
    octets: &'a [u8],
    more: bool,
    /// The window of the record itself.
    top: Window,
    flow: &'a Fields,
    /// Bits read.
    bits: usize,
    /// The rules being read, outermost first.
    within: Vec<String>,
    anomalies: Vec<(AnomalyId, usize)>,
}

/// The end of a window; none if it ends with the octets.
type Window = Option<usize>;

impl<'a> Reader<'a> {
    fn at(&self) -> usize {
        self.bits / 8
    }

    fn whole_octets(&self) -> Step<usize> {
        if self.bits.is_multiple_of(8) { Ok(self.at()) } else { wrong("inside an octet") }
    }

    fn advance(&mut self, octets: usize) {
        self.bits += octets * 8;
    }

    /// The octet so many after the next one; nothing behind the end of the window.
    fn peek(&self, ahead: usize, window: Window) -> Step<Option<u8>> {
        let index = self.at() + ahead;
        match (window, self.octets.get(index)) {
            (Some(end), _) if index >= end => Ok(None),
            (_, Some(octet)) => Ok(Some(*octet)),
            (None, None) if self.more => Err(Stop::More),
            _ => Ok(None),
        }
    }

    /// The next octets, all of which have to be there.
    fn take(&mut self, count: usize, window: Window) -> Step<&'a [u8]> {
        let at = self.whole_octets()?;
        if let Some(last) = count.checked_sub(1)
            && self.peek(last, window)?.is_none()
        {
            return wrong("octets are missing");
        }
        self.advance(count);
        Ok(self.octets.get(at..at + count).unwrap_or_default())
    }

    /// How many octets are left in the window; its end has to be known.
    fn left(&self, window: Window) -> Step<usize> {
        match window {
            Some(end) => Ok(end.saturating_sub(self.at())),
            None if self.more => Err(Stop::More),
            None => Ok(self.octets.len().saturating_sub(self.at())),
        }
    }

    fn view<'v>(&'v self, frame: &'v Frame, element: Option<&'v Fields>, window: Window) -> View<'v> {
        // How far the octets of the rule reach, as far as that is known.
        let end = window.unwrap_or(self.at());
        let raw = self.octets.get(frame.start..end.max(frame.start)).unwrap_or_default();
        View { record: Some(&frame.fields), element, flow: self.flow, raw }
    }

    fn size(&self, formula: &Formula, frame: &Frame, window: Window) -> Step<usize> {
        match formula.value(&self.view(frame, None, window)) {
            Value::Number(number) => usize::try_from(number).or_else(|_| wrong("a size below 0")),
            _ => wrong("a size that is not there"),
        }
    }

    fn items(&mut self, items: &[Item], frame: &mut Frame, window: Window) -> Step<()> {
        items.iter().try_for_each(|item| self.item(item, frame, window))
    }

    fn item(&mut self, item: &Item, frame: &mut Frame, window: Window) -> Step<()> {
        match item {
            Item::Literal(literal) => {
                if !self.is_next(literal, window)? {
                    return wrong("a literal is not there");
                }
                self.advance(literal.bytes.len());
                Ok(())
            }
            Item::Field(field) => {
                let leaf = self.field(field, frame, window)?;
                if let Some(slot) = field.slot {
                    put(&mut frame.fields, slot, leaf);
                }
                Ok(())
            }
            Item::Let { slot, value, .. } => {
                let leaf = Leaf::of(&value.value(&self.view(frame, None, window)));
                put(&mut frame.fields, *slot, leaf);
                Ok(())
            }
            Item::Check { weight, test, .. } => {
                if !test.test(&self.view(frame, None, window)).possible() {
                    match weight {
                        Weight::Must => return wrong("a `must` does not hold"),
                        Weight::Should(anomaly) => self.anomalies.push((*anomaly, self.at())),
                    }
                }
                Ok(())
            }
            Item::Optional { slot, first, items } => {
                if self.begins(first, window)? {
                    put(&mut frame.fields, *slot, Leaf::Boolean(true));
                    self.items(items, frame, window)?;
                }
                Ok(())
            }
            Item::When { slot, test, items } => {
                if test.test(&self.view(frame, None, window)).holds() {
                    put(&mut frame.fields, *slot, Leaf::Boolean(true));
                    self.items(items, frame, window)?;
                }
                Ok(())
            }
            Item::Switch { on, fold, arms, otherwise, .. } => {
                let value = Leaf::of(&on.value(&self.view(frame, None, window)));
                let arm = arms.iter().find(|arm| is_in(&value.value(), &arm.values, *fold));
                match (arm, otherwise) {
                    (Some(arm), _) => self.items(&arm.items, frame, window),
                    (None, Some(items)) => self.items(items, frame, window),
                    (None, None) => wrong("no branch has this value"),
                }
            }
            Item::Choose { arms, otherwise, .. } => {
                for arm in arms {
                    if self.begins(&arm.first, window)? {
                        put(&mut frame.fields, arm.slot, Leaf::Boolean(true));
                        return self.items(&arm.items, frame, window);
                    }
                }
                match otherwise {
                    Some(items) => self.items(items, frame, window),
                    None => wrong("no branch begins like this"),
                }
            }
            Item::Window { size, items, .. } => {
                let size = self.size(size, frame, window)?;
                if size > 0 && self.peek(size - 1, window)?.is_none() {
                    return wrong("a window larger than what is left");
                }
                let end = self.at() + size;
                self.items(items, frame, Some(end))?;
                if self.whole_octets()? != end {
                    return wrong("octets of a window are left over");
                }
                Ok(())
            }
            Item::Line { max, items, .. } => self.line(*max, items, frame, window),
            Item::Many(many) => self.many(many, frame, window),
            Item::Value { slot, rule, .. } => {
                let leaf = self.value_rule(*rule, self.at(), window)?;
                put(&mut frame.fields, *slot, leaf);
                Ok(())
            }
            Item::Follow { slot, rule, offset, .. } => {
                let target = self.size(offset, frame, window)?;
                if target >= frame.limit {
                    return wrong("a jump that does not go back");
                }
                let here = self.bits;
                self.bits = target * 8;
                // A jump leaves all windows but that of the record.
                let leaf = self.value_rule(*rule, target, self.top)?;
                self.bits = here;
                put(&mut frame.fields, *slot, leaf);
                Ok(())
            }
            Item::Fail { .. } => wrong("an `error`"),
        }
    }

    /// A line: its items see it without its newline.
    fn line(&mut self, max: u32, items: &[Item], frame: &mut Frame, window: Window) -> Step<()> {
        let newline = self.protocol.newline;
        let start = self.whole_octets()?;
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let mut length = 0;
        let (content, crlf) = loop {
            if length >= max {
                return wrong("a line that is too long");
            }
            match self.peek(length, window)? {
                None => return wrong("a line without an end"),
                Some(b'\n') => {
                    let crlf = length > 0 && self.peek(length - 1, window)? == Some(b'\r');
                    if crlf && newline.crlf {
                        break (length - 1, true);
                    }
                    if newline.lf {
                        break (length, false);
                    }
                }
                Some(_) => {}
            }
            length += 1;
        };
        let length = length + 1;
        self.line_anomalies(start, content, crlf);
        self.items(items, frame, Some(start + content))?;
        if self.whole_octets()? != start + content {
            return wrong("octets of a line are left over");
        }
        self.bits = (start + length) * 8;
        Ok(())
    }

    fn line_anomalies(&mut self, start: usize, content: usize, crlf: bool) {
        let line = self.octets.get(start..start + content).unwrap_or_default();
        self.anomalies.extend(odd_octets(&self.protocol.newline, line, crlf, start));
    }

    /// A value rule; gives what it comes to.
    fn value_rule(&mut self, rule: RuleId, start: usize, window: Window) -> Step<Leaf> {
        let protocol = self.protocol;
        let Some(rule) = protocol.rules.get(usize::from(rule.0)) else { return wrong("no such rule") };
        self.enter(rule)?;
        let mut inner = Frame::new(rule, start, start);
        self.items(&rule.items, &mut inner, window)?;
        self.within.pop();
        let leaf = match (&rule.result, rule.kind) {
            (Some(result), RuleKind::Value) => Leaf::of(&result.value(&self.view(&inner, None, window))),
            _ => Leaf::Boolean(true),
        };
        match &leaf {
            Leaf::Text(text) if text.len() as u64 > u64::from(rule.max) => wrong("a value that is too long"),
            _ => Ok(leaf),
        }
    }

    fn enter(&mut self, rule: &Rule) -> Step<()> {
        let itself = self.within.iter().filter(|name| **name == rule.name).count();
        if self.within.len() > MAX_CALLS || (rule.depth > 0 && itself > usize::from(rule.depth)) {
            return wrong("nested too deep");
        }
        self.within.push(rule.name.clone());
        Ok(())
    }

    fn many(&mut self, many: &Many, frame: &mut Frame, window: Window) -> Step<()> {
        let protocol = self.protocol;
        let Some(rule) = protocol.rules.get(usize::from(many.element.0)) else { return wrong("no such rule") };
        let mut elements: Vec<Fields> = Vec::new();
        loop {
            let more = match &many.end {
                End::Window => self.peek(0, window)?.is_some(),
                End::Count(count) => match count.value(&self.view(frame, None, window)) {
                    Value::Number(count) => (elements.len() as u64) < u64::try_from(count).unwrap_or(0),
                    _ => return wrong("a number of elements that is not there"),
                },
                End::Until(_) | End::While(_) => true,
                End::UntilLiteral(literal) => {
                    let found = self.is_next(literal, window)?;
                    if found {
                        self.advance(literal.bytes.len());
                    }
                    !found
                }
                End::UntilEmptyLine => !self.newline(window)?,
                End::First(first) => self.begins(first, window)?,
            };
            if !more {
                break;
            }
            if elements.len() as u64 >= u64::from(many.max) {
                return wrong("too many elements");
            }
            let before = self.bits;
            self.enter(rule)?;
            let mut inner = Frame::new(rule, self.at(), frame.limit);
            if rule.kind == RuleKind::Line {
                self.line(rule.max, &rule.items, &mut inner, window)?;
            } else {
                self.items(&rule.items, &mut inner, window)?;
            }
            self.within.pop();
            let last = match &many.end {
                End::Until(test) => test.test(&self.view(frame, Some(&inner.fields), window)).holds(),
                End::While(test) => !test.test(&self.view(frame, Some(&inner.fields), window)).holds(),
                _ => false,
            };
            elements.push(inner.fields);
            if last {
                break;
            }
            if self.bits == before && !matches!(many.end, End::Count(_)) {
                return wrong("an element without octets");
            }
        }
        put(&mut frame.fields, many.slot, Leaf::List(elements));
        Ok(())
    }

    /// Takes a newline if there is one.
    fn newline(&mut self, window: Window) -> Step<bool> {
        let newline = self.protocol.newline;
        match self.peek(0, window)? {
            Some(b'\r') if newline.crlf && self.peek(1, window)? == Some(b'\n') => self.advance(2),
            Some(b'\n') if newline.lf => {
                self.anomalies.extend(newline.bare_lf.map(|anomaly| (anomaly, self.at())));
                self.advance(1);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn is_next(&self, literal: &Literal, window: Window) -> Step<bool> {
        for (ahead, wanted) in literal.bytes.iter().enumerate() {
            match self.peek(ahead, window)? {
                Some(octet) if octet == *wanted || (literal.fold && octet.eq_ignore_ascii_case(wanted)) => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Whether one of the prefixes is there.
    fn begins(&self, first: &First, window: Window) -> Step<bool> {
        let mut undecided = false;
        for prefix in &first.prefixes {
            let fits = self.is_next(&prefix.literal, window).and_then(|there| {
                Ok(there
                    && match &prefix.next {
                        Next::Any => true,
                        Next::End => self.peek(prefix.literal.bytes.len(), window)?.is_none(),
                        Next::Class(set) => {
                            self.peek(prefix.literal.bytes.len(), window)?.is_some_and(|octet| set.contains(octet))
                        }
                    })
            });
            match fits {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(_) => undecided = true,
            }
        }
        if undecided { Err(Stop::More) } else { Ok(false) }
    }

    fn field(&mut self, field: &Field, frame: &Frame, window: Window) -> Step<Leaf> {
        let start = self.at();
        match &field.shape {
            Shape::Number { octets, little, signed } => {
                let mut octets = self.take(usize::from(*octets), window)?.to_vec();
                if *little {
                    octets.reverse();
                }
                let negative = *signed && octets.first().is_some_and(|octet| *octet >= 0x80);
                let mut value: i128 = if negative { -1 } else { 0 };
                octets.iter().for_each(|octet| value = value * 256 + i128::from(*octet));
                // Minus one in more octets than there were is all ones, so that what was shifted in stands.
                Ok(Leaf::Number(i64::try_from(value).unwrap_or(i64::MAX)))
            }
            Shape::Bits(bits) => {
                let mut value = 0i64;
                for _ in 0..*bits {
                    let Some(octet) = self.peek(0, window)? else { return wrong("bits are missing") };
                    let shift = 7 - self.bits % 8;
                    value = value * 2 + i64::from((octet >> shift) & 1);
                    self.bits += 1;
                }
                Ok(Leaf::Number(value))
            }
            Shape::Ipv4 => match <[u8; 4]>::try_from(self.take(4, window)?) {
                Ok(octets) => Ok(Leaf::Address(Ipv4Addr::from(octets).into())),
                Err(_) => wrong("no address"),
            },
            Shape::Ipv6 => match <[u8; 16]>::try_from(self.take(16, window)?) {
                Ok(octets) => Ok(Leaf::Address(Ipv6Addr::from(octets).into())),
                Err(_) => wrong("no address"),
            },
            Shape::Bytes(size) => {
                let size = self.size(size, frame, window)?;
                let octets = self.take(size, window)?;
                convert(octets, field.convert)
            }
            Shape::Rest => {
                let left = self.left(window)?;
                let octets = self.take(left, window)?;
                convert(octets, field.convert)
            }
            Shape::Class { set, min, max } => {
                let count = self.in_class(set, *max, window)?;
                if (count as u64) < u64::from(*min) {
                    return wrong("too few octets");
                }
                convert(self.take(count, window)?, field.convert)
            }
            Shape::Blanks => {
                let count = self.in_class(&ClassSet::of([b' ', b'\t']), u32::MAX, window)?;
                convert(self.take(count, window)?, field.convert)
            }
            Shape::Until { delimiter, or_end, quote, escape, consume, max } => {
                let quoting = Quoting { quote: *quote, escape: *escape };
                let found = self.until(delimiter, quoting, *or_end, *max, window)?;
                let text = convert(self.octets.get(start..start + found.0).unwrap_or_default(), field.convert)?;
                self.advance(found.0 + if *consume { found.1 } else { 0 });
                Ok(text)
            }
            Shape::Decimal { max } => self.digits(*max, 10, window),
            Shape::Hex { max } => self.digits((*max).min(16), 16, window),
            Shape::OneOf { texts, end } => {
                for text in texts {
                    if self.is_next(text, window)? {
                        return Ok(Leaf::Text(self.take(text.bytes.len(), window)?.to_vec()));
                    }
                }
                if *end && self.peek(0, window)?.is_none() {
                    return Ok(Leaf::Text(Vec::new()));
                }
                wrong("none of the texts")
            }
            Shape::Newline => {
                if self.newline(window)? {
                    Ok(Leaf::Absent)
                } else {
                    wrong("no newline")
                }
            }
            Shape::End => match self.peek(0, window)? {
                None => Ok(Leaf::Absent),
                Some(_) => wrong("not the end"),
            },
        }
    }

    fn in_class(&self, set: &ClassSet, max: u32, window: Window) -> Step<usize> {
        let mut count = 0;
        while self.peek(count, window)?.is_some_and(|octet| set.contains(octet)) {
            count += 1;
            if count as u64 > u64::from(max) {
                return wrong("too many octets");
            }
        }
        Ok(count)
    }

    fn digits(&mut self, max: u32, radix: u32, window: Window) -> Step<Leaf> {
        let mut value: i128 = 0;
        let mut count = 0;
        while let Some(digit) = self.peek(count, window)?.and_then(|octet| char::from(octet).to_digit(radix)) {
            value = value.saturating_mul(i128::from(radix)).saturating_add(i128::from(digit));
            count += 1;
            if count as u64 > u64::from(max) {
                return wrong("too many digits");
            }
        }
        self.advance(count);
        match i64::try_from(value) {
            Ok(value) if count > 0 => Ok(Leaf::Number(value)),
            _ => wrong("no number"),
        }
    }

    /// Octets before the delimiter, and octets of the delimiter.
    fn until(
        &self,
        delimiter: &Delimiter,
        quoting: Quoting,
        or_end: bool,
        max: u32,
        window: Window,
    ) -> Step<(usize, usize)> {
        let mut quoting = quoting;
        let mut at = 0;
        loop {
            if at as u64 > u64::from(max) {
                return wrong("too many octets before the delimiter");
            }
            let Some(octet) = self.peek(at, window)? else {
                return if or_end { Ok((at, 0)) } else { wrong("no delimiter") };
            };
            if quoting.escape == Some(octet) {
                // What it takes the meaning from has to come before the text can end.
                at += if self.peek(at + 1, window)?.is_some() { 2 } else { 1 };
                continue;
            }
            if quoting.quote == Some(octet) {
                // In an open window it does not wait for more than a text and its delimiter may have.
                let most = u64::from(max) + delimiter_length(delimiter) as u64;
                match self.end_of_quotes(at, quoting, most, window)? {
                    Some(end) => at = end,
                    // Nothing closes it: it is an octet like others, and so are all like it.
                    None => quoting.quote = None,
                }
                continue;
            }
            if let Some(length) = self.delimiter(delimiter, at, window)? {
                return Ok((at, length));
            }
            at += 1;
        }
    }

    /// The place behind the octet that closes the quotes that open at a place.
    fn end_of_quotes(&self, open: usize, quoting: Quoting, most: u64, window: Window) -> Step<Option<usize>> {
        let mut at = open + 1;
        loop {
            match self.peek(at, window) {
                Err(Stop::More) if self.octets.len().saturating_sub(self.at()) as u64 >= most => {
                    return wrong("too many octets before the delimiter");
                }
                Err(stop) => return Err(stop),
                Ok(None) => return Ok(None),
                Ok(Some(octet)) if octet == b'\\' || quoting.escape == Some(octet) => at += 2,
                Ok(Some(octet)) if quoting.quote == Some(octet) => return Ok(Some(at + 1)),
                Ok(Some(_)) => at += 1,
            }
        }
    }

    fn delimiter(&self, delimiter: &Delimiter, at: usize, window: Window) -> Step<Option<usize>> {
        match delimiter {
            Delimiter::Class(set) => Ok(self.peek(at, window)?.filter(|octet| set.contains(*octet)).map(|_| 1)),
            Delimiter::Text(text) => {
                for (ahead, wanted) in text.iter().enumerate() {
                    if self.peek(at + ahead, window)? != Some(*wanted) {
                        return Ok(None);
                    }
                }
                Ok(Some(text.len()))
            }
        }
    }
}

fn delimiter_length(delimiter: &Delimiter) -> usize {
    match delimiter {
        Delimiter::Class(_) => 1,
        Delimiter::Text(text) => text.len(),
    }
}

#[derive(Clone, Copy)]
struct Quoting {
    quote: Option<u8>,
    escape: Option<u8>,
}

fn convert(octets: &[u8], conversion: Conversion) -> Step<Leaf> {
    Ok(match conversion {
        Conversion::None => Leaf::Text(octets.to_vec()),
        Conversion::Number => match decimal(octets) {
            Some(number) => Leaf::Number(number),
            None => return wrong("no number"),
        },
        Conversion::Trimmed => {
            let blank = |octet: &u8| [b' ', b'\t'].contains(octet);
            let start = octets.iter().take_while(|octet| blank(octet)).count();
            let left = octets.get(start..).unwrap_or_default();
            let end = left.iter().rev().take_while(|octet| blank(octet)).count();
            Leaf::Text(left.get(..left.len() - end).unwrap_or_default().to_vec())
        }
        Conversion::Lowercase => Leaf::Text(octets.to_ascii_lowercase()),
    })
}

/// What the octets of a line break of the newline policy: a line feed alone at its end, the first carriage return in
/// it, the first octet 0 in it.
pub(super) fn odd_octets(newline: &Newline, line: &[u8], crlf: bool, start: usize) -> Vec<(AnomalyId, usize)> {
    let mut odd = Vec::new();
    if !crlf {
        odd.extend(newline.bare_lf.map(|anomaly| (anomaly, start + line.len())));
    }
    for (octet, anomaly) in [(b'\r', newline.bare_cr), (0, newline.nul)] {
        if let (Some(anomaly), Some(at)) = (anomaly, line.iter().position(|found| *found == octet)) {
            odd.push((anomaly, start + at));
        }
    }
    odd
}
