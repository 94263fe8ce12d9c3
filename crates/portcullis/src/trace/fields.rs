//! A record as text.

use std::fmt::Write as _;

use portcullis_grammar::Record;
use portcullis_lang::{Layout, Type, Value};

/// Most octets of one value that are shown.
const MOST_OCTETS: usize = 120;

/// Most elements of a list that are shown.
const MOST_ELEMENTS: u32 = 20;

/// Appends octets in quotes, the first ones of many.
pub(super) fn quoted(line: &mut String, octets: &[u8]) {
    let shown = octets.get(..octets.len().min(MOST_OCTETS)).unwrap_or_default();
    let more = if shown.len() < octets.len() { "..." } else { "" };
    let _ = write!(line, "\"{}\"{more}", shown.escape_ascii());
}

/// Fields that hold passwords, as protocol, record and field: of those only the length is told. Whoever may ask a gate, or reads
/// what he was told, need not know them.
const SECRET: [(&str, &str, &str); 2] = [("smtp", "command", "initial"), ("smtp", "credentials", "response")];

/// Appends the fields of a record, given the protocol and the name of the record.
pub(super) fn write(line: &mut String, kind: (&str, &str), layout: &Layout, record: &Record<'_>) {
    write_at(line, kind, layout, record, 0);
}

/// Appends the fields of a record, or of the element of a list, whose slots begin at `base`.
fn write_at(line: &mut String, kind: (&str, &str), layout: &Layout, record: &Record<'_>, base: u32) {
    for field in &layout.fields {
        let value = record.value_at(base, field.slot);
        if let Type::List(element) = &field.kind {
            let count = record.count_at(base, field.slot);
            let _ = write!(line, " {}={count}[", field.path);
            for index in 0..count.min(MOST_ELEMENTS) {
                if let Some(base) = record.element_base_at(base, field.slot, index) {
                    write_at(line, kind, element, record, base);
                    line.push(';');
                }
            }
            line.push(']');
            continue;
        }
        let _ = match value {
            Value::Absent | Value::Unknown => continue,
            Value::Boolean(value) => write!(line, " {}={value}", field.path),
            Value::Number(number) => write!(line, " {}={number}", field.path),
            Value::Bytes(octets) if SECRET.contains(&(kind.0, kind.1, field.path.as_str())) => {
                write!(line, " {}=({} octets, not shown)", field.path, octets.len())
            }
            Value::Bytes(octets) => {
                let _ = write!(line, " {}=", field.path);
                quoted(line, &octets);
                continue;
            }
            Value::Address(address) => write!(line, " {}={address}", field.path),
        };
    }
}
