//! Texts of alerts and log records: filled in, bounded, and safe to print.

use std::fmt::Write;
use std::sync::Arc;

use portcullis_lang::scheme::Enumeration;
use portcullis_lang::{Formula, Host, Value};

use crate::limits::{MAX_ALERT_TEXT, MAX_ALERT_VALUE};

/// A text with holes, checked.
///
/// Filling it in cannot fail: what is absent reads `-`, what was not seen reads `?`. Whatever a peer sent cannot forge a
/// line of a log or drive a terminal: control characters, those that turn the direction of writing, and octets that are
/// not UTF-8 are written as escapes, and so is the backslash, so that the text can be read back without doubt.
#[derive(Clone, Debug, Default)]
pub(crate) struct AlertText {
    pub(crate) parts: Vec<AlertPart>,
}

/// A piece of an [`AlertText`].
#[derive(Clone, Debug)]
pub(crate) enum AlertPart {
    /// As the policy has it.
    Text(String),
    /// A value.
    Value {
        /// What.
        formula: Formula,
        /// Names for numbers.
        names: Option<Arc<Enumeration>>,
    },
}

impl AlertText {
    /// The text for an event.
    pub(crate) fn fill(&self, host: &dyn Host) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                AlertPart::Text(part) => text.push_str(part),
                AlertPart::Value { formula, names } => write_value(&mut text, &formula.value(host), names.as_deref()),
            }
            if text.len() > MAX_ALERT_TEXT {
                break;
            }
        }
        cut(&mut text, MAX_ALERT_TEXT);
        text
    }

    /// The formulas whose values it shows.
    pub(crate) fn formulas(&self) -> impl Iterator<Item = &Formula> {
        self.parts.iter().filter_map(|part| match part {
            AlertPart::Value { formula, .. } => Some(formula),
            AlertPart::Text(_) => None,
        })
    }
}

fn write_value(text: &mut String, value: &Value<'_>, names: Option<&Enumeration>) {
    match value {
        Value::Unknown => text.push('?'),
        Value::Absent => text.push('-'),
        Value::Boolean(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => match names.and_then(|names| names.name_of(*number)) {
            Some(name) => text.push_str(name),
            None => {
                let _ = write!(text, "{number}");
            }
        },
        Value::Address(address) => {
            let _ = write!(text, "{address}");
        }
        Value::Bytes(bytes) => {
            let shown = bytes.get(..MAX_ALERT_VALUE).unwrap_or(bytes);
            write_escaped(text, shown);
            if shown.len() < bytes.len() {
                text.push_str("...");
            }
        }
    }
}

/// A text of a policy, for alerts: its author is trusted, but its lines would not stay lines.
pub(crate) fn plain(octets: &[u8]) -> String {
    let mut text = String::new();
    for part in String::from_utf8_lossy(octets).split_inclusive('\\') {
        let (before, backslash) = part.strip_suffix('\\').map_or((part, ""), |before| (before, "\\"));
        write_escaped(&mut text, before.as_bytes());
        text.push_str(backslash);
    }
    text
}

/// Appends octets from the wire as text that is safe to print.
pub(crate) fn write_escaped(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '\r' => text.push_str("\\r"),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\0'..='\x1f' | '\x7f' => {
                    let _ = write!(text, "\\x{:02x}", u32::from(character));
                }
                other if is_treacherous(other) => {
                    let _ = write!(text, "\\u{{{:x}}}", u32::from(other));
                }
                other => text.push(other),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
}

/// Characters that show nothing, or make others show elsewhere: C1 controls, zero-width and bidirectional marks
/// (Unicode Technical Report 36, section 2.5), line and paragraph separators, the byte order mark.
fn is_treacherous(character: char) -> bool {
    matches!(character,
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

impl AlertPart {
    /// The part as octets that are put into a record or stream: as they are, for what is absent nothing.
    pub(crate) fn octets(&self, host: &dyn Host) -> Vec<u8> {
        match self {
            AlertPart::Text(text) => text.clone().into_bytes(),
            AlertPart::Value { formula, names } => match formula.value(host) {
                Value::Bytes(octets) => octets.into_owned(),
                Value::Absent | Value::Unknown => Vec::new(),
                value => {
                    let mut text = String::new();
                    write_value(&mut text, &value, names.as_deref());
                    text.into_bytes()
                }
            },
        }
    }
}

/// Cuts a text down to `max` octets, with `...` at its end where something is missing.
fn cut(text: &mut String, max: usize) {
    if text.len() <= max {
        return;
    }
    let mut end = max.saturating_sub(3);
    while end > 0 && !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.push_str("...");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8]) -> String {
        let mut text = String::new();
        write_escaped(&mut text, bytes);
        text
    }

    #[test]
    fn nothing_from_the_wire_drives_a_terminal() {
        assert_eq!(escaped(b"a\r\nb\x1b[31m\x00\x7f"), "a\\r\\nb\\x1b[31m\\x00\\x7f");
        assert_eq!(escaped("ü\u{9b}\u{202e}x".as_bytes()), "ü\\u{9b}\\u{202e}x");
        assert_eq!(escaped(b"\xff\xc3"), "\\xff\\xc3");
        assert_eq!(escaped(br"a\x41"), r"a\\x41");
    }

    #[test]
    fn long_texts_are_cut_on_a_character() {
        let mut text = "ä".repeat(2_000);
        cut(&mut text, 101);
        assert_eq!(text.len(), 101);
        assert!(text.ends_with("ä..."));
        let mut short = "abc".to_string();
        cut(&mut short, 3);
        assert_eq!(short, "abc");
    }

    #[test]
    fn long_values_are_cut_before_the_text() {
        let mut text = String::new();
        write_value(&mut text, &Value::bytes(&[b'a'; 10_000]), None);
        assert_eq!(text.len(), MAX_ALERT_VALUE + 3);
    }
}
