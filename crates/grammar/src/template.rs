//! Texts with values in them.

use std::fmt::Write as _;

use portcullis_lang::{Host, Value};

use crate::limits::MAX_REASON;
use crate::model::{Template, TemplatePart};

/// The text with its values, at most [`MAX_REASON`] octets. Octets that are not printable ASCII are escaped, what is
/// absent or unknown is a dash.
pub(crate) fn render(template: &Template, host: &dyn Host) -> String {
    let mut text = String::new();
    for part in &template.parts {
        match part {
            TemplatePart::Text(part) => text.push_str(part),
            TemplatePart::Value(formula) => {
                // Writing to a string cannot fail.
                let _ = match formula.value(host) {
                    Value::Unknown | Value::Absent => write!(text, "-"),
                    Value::Boolean(value) => write!(text, "{value}"),
                    Value::Number(number) => write!(text, "{number}"),
                    Value::Bytes(bytes) => write!(text, "{}", bytes.escape_ascii()),
                    Value::Address(address) => write!(text, "{address}"),
                };
            }
        }
    }
    cut(text)
}

/// Cuts a reason to its bound.
pub(crate) fn cut(mut text: String) -> String {
    if text.len() > MAX_REASON {
        let end = (0..=MAX_REASON).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
