//! Fields: how octets become the value of a slot.

use super::*;

impl<'a> Stepper<'a> {
    pub(super) fn literal(&mut self, literal: u16) -> Step<u32> {
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

    pub(super) fn bits(&mut self, slot: u16, bits: u8) -> Step<u32> {
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

    pub(super) fn class(&mut self, slot: u16, class: u16, min: u32, max: u32, convert: Conversion) -> Step<u32> {
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

    pub(super) fn until(&mut self, slot: u16, until: u16, convert: Conversion) -> Step<u32> {
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
    pub(super) fn find(&self, until: &Until, left: &[u8], searched: usize) -> Option<(usize, usize)> {
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

    pub(super) fn find_quoted(&self, until: &Until, left: &[u8]) -> Option<(usize, usize)> {
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

    pub(super) fn digits(&mut self, slot: u16, max: u32, radix: u32) -> Step<u32> {
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

    pub(super) fn one_of(&mut self, slot: u16, alternatives: u16) -> Step<u32> {
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

    pub(super) fn newline(&mut self) -> Step<u32> {
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

    pub(super) fn open_line(&mut self, max: u32) -> Step<u32> {
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

    pub(super) fn keep(&mut self, slot: u16, octets: &[u8], convert: Conversion) -> Step<()> {
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
