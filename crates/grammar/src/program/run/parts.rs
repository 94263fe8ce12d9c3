//! What consists of several fields: lists, values and what jumps to them.

use super::*;

impl Stepper<'_> {
    pub(super) fn list_next(&mut self, many: u16) -> Step<u32> {
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
        self.run.pending_spans.push((position, position));
        if let Some(repeat) = self.run.repeats.last_mut() {
            repeat.at = position;
        }
        Ok(next)
    }

    pub(super) fn list_after(&mut self, many: u16) -> Step<u32> {
        let program = self.program;
        let Some(many) = program.loops.get(usize::from(many)) else { return Ok(self.next()) };
        let element = self.run.pending.last().copied();
        if let Some(span) = self.run.pending_spans.last_mut() {
            span.1 = self.run.position;
        }
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
    pub(super) fn list_end(&mut self, slot: u16) -> u32 {
        if let Some(repeat) = self.run.repeats.pop() {
            let first = to_u32(self.run.slots.elements.len());
            let Run { pending, pending_spans, slots, .. } = &mut *self.run;
            let elements = pending.drain((repeat.mark as usize).min(pending.len())..);
            let count = to_u32(elements.len());
            slots.elements.extend(elements);
            slots.spans.extend(pending_spans.drain((repeat.mark as usize).min(pending_spans.len())..));
            self.set(slot, Slot::List { first, count });
        }
        match self.program.ops.get(self.run.pc as usize) {
            Some(Op::ListNext { .. }) => self.run.pc.wrapping_add(2),
            _ => self.run.pc.wrapping_add(1),
        }
    }

    pub(super) fn call(&mut self, rule: u16, kind: CallKind, start: u32) -> Step<u32> {
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

    pub(super) fn return_from(&mut self) -> Step<u32> {
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
}
