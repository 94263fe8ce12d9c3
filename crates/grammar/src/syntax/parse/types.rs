//! Types, delimiters, sets of bytes, maxima.

use portcullis_lang::{Code, Diagnostic, Parsed, Parser, Span, Symbol, TokenKind, is_keyword};

use super::super::tree::{
    CharacterClass, Delimiter, DelimiterKind, ElementKind, Lines, Maximum, MaximumOf, SpanOf, Type, TypeKind,
};
use super::field::FIELD_WORDS;
use super::item;

/// Reads a type, or several with `or` between them.
pub(super) fn alternatives(p: &mut Parser<'_>) -> Parsed<ElementKind> {
    let first = single(p)?;
    if !p.at_clause("or") {
        return Ok(ElementKind::Type(first));
    }
    let mut all = vec![first];
    while p.eat_clause("or").is_some() {
        all.push(single(p)?);
    }
    Ok(ElementKind::Alternatives(all))
}

/// Reads one type.
pub(super) fn single(p: &mut Parser<'_>) -> Parsed<Type> {
    let start = p.peek();
    let kind = match start.kind {
        TokenKind::Text | TokenKind::Raw => TypeKind::Literal(p.text("a literal")?),
        TokenKind::Symbol(Symbol::BracketOpen) => TypeKind::Class(class(p)?),
        TokenKind::Regex => {
            p.advance();
            TypeKind::Regex(inside(p.slice(start.span)))
        }
        TokenKind::Word => word(p)?,
        _ => return Err(p.unexpected("a field: `name: TYPE`, a literal in quotes, `choose`, `many`, `optional` ...")),
    };
    Ok(Type { kind, span: p.since(start.span) })
}

/// Whether this word is a type that is read to get its value, so that a name before it was meant as a label.
pub(super) fn is_value_type(word: &str) -> bool {
    let simple = [
        "atom",
        "ber_length",
        "bit",
        "bytes",
        "decimal",
        "digit",
        "hex",
        "ipv4",
        "ipv6",
        "mac",
        "quic_varint",
        "token",
        "until",
        "upto",
        "varint",
        "word",
    ];
    simple.contains(&word) || matches!(integer(word), Some((1..=64, _)))
}

// `u16` and `i8`: the number of bits as written, and whether it has a sign.
fn integer(word: &str) -> Option<(u32, bool)> {
    let (signed, digits) = match (word.strip_prefix('u'), word.strip_prefix('i')) {
        (Some(digits), _) => (false, digits),
        (_, Some(digits)) => (true, digits),
        _ => return None,
    };
    let plain = !digits.is_empty() && digits.len() < 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten().map(|bits| (bits, signed))
}

fn word(p: &mut Parser<'_>) -> Parsed<TypeKind> {
    let token = p.peek();
    let word = p.slice(token.span);
    if let Some((bits, signed)) = integer(word) {
        p.advance();
        return match u8::try_from(bits) {
            Ok(bits @ 1..=64) => Ok(TypeKind::Integer { bits, signed }),
            _ => Err(p.report(
                Diagnostic::error(Code::S4, format!("there is no integer of {bits} bits"))
                    .primary(token.span, "")
                    .help("integers go from `u1` to `u64`; longer ones are read as `bytes N`"),
            )),
        };
    }
    let simple = match word {
        "atom" => TypeKind::Atom,
        "ber_length" => TypeKind::BerLength,
        "bit" => TypeKind::Bit,
        "blanks" => TypeKind::Blanks,
        "decimal" => TypeKind::Decimal,
        "digit" => TypeKind::Digit,
        "end" => TypeKind::End,
        "f32" => TypeKind::Float(32),
        "f64" => TypeKind::Float(64),
        "hex" => TypeKind::Hex,
        "ipv4" => TypeKind::Ipv4,
        "ipv6" => TypeKind::Ipv6,
        "line" => TypeKind::Line,
        "mac" => TypeKind::Mac,
        "newline" => TypeKind::Newline,
        "quic_varint" => TypeKind::QuicVarint,
        "rest" => TypeKind::Rest,
        "text" => TypeKind::Text,
        "token" => TypeKind::Token,
        "varint" => TypeKind::Varint,
        "word" => TypeKind::Word,
        "bytes" => {
            p.advance();
            return bytes(p);
        }
        "until" => {
            p.advance();
            return delimiter(p).map(TypeKind::Until);
        }
        "upto" => {
            p.advance();
            return delimiter(p).map(TypeKind::Upto);
        }
        "lines" if p.at_words("lines", "until") || p.at_words("lines", "to") => {
            p.advance();
            return lines(p).map(TypeKind::Lines);
        }
        _ if is_keyword(word) => {
            let name = p.name("a keyword")?;
            return Ok(TypeKind::Keyword(name));
        }
        _ if FIELD_WORDS.contains(&word) => {
            let diagnostic = p
                .unexpected_here("a type")
                .help(format!("`{word}` is a word of the language; a field of this name is written `{word}: TYPE`"));
            return Err(p.report_at_token(diagnostic));
        }
        _ => return p.path("a type").map(TypeKind::Named),
    };
    p.advance();
    Ok(simple)
}

// Behind `bytes`: a size, `to end`, or nothing if another field measures it.
fn bytes(p: &mut Parser<'_>) -> Parsed<TypeKind> {
    if p.eat_words("to", "end").is_some() {
        return Ok(TypeKind::BytesToEnd);
    }
    let next = p.peek();
    let is_size = match next.kind {
        TokenKind::Number => p.second().kind != TokenKind::Symbol(Symbol::FatArrow),
        TokenKind::Symbol(symbol) => symbol == Symbol::ParenOpen,
        TokenKind::Word => {
            let word = p.slice(next.span);
            let behind = p.second().kind;
            let begins_next =
                [Symbol::Colon, Symbol::FatArrow, Symbol::Comma].into_iter().any(|s| behind == TokenKind::Symbol(s));
            !begins_next && !is_keyword(word) && !FIELD_WORDS.contains(&word) && word != "or" && word != "else"
        }
        _ => false,
    };
    if is_size { p.operand().map(TypeKind::Bytes) } else { Ok(TypeKind::BytesMeasured) }
}

fn lines(p: &mut Parser<'_>) -> Parsed<Lines> {
    let until = if p.eat_words("to", "end").is_some() {
        None
    } else {
        p.expect_word("until", "or `to end` after `lines`")?;
        Some(delimiter(p)?)
    };
    let mut found = Lines { until, lookalikes: None, long_lines: None };
    loop {
        let start = p.peek().span;
        let repeated = if p.eat_words("and", "lookalikes").is_some() {
            p.expect_word("as", "and the name of the anomaly after `lookalikes`")?;
            found.lookalikes.replace(item::anomaly_name(p)?).is_some()
        } else if p.at_words("long", "lines") || p.at_words("and", "long") {
            p.eat_word("and");
            p.expect_word("long", "`lines over N as anomaly NAME`")?;
            p.expect_word("lines", "after `long`")?;
            p.expect_word("over", "and a length after `long lines`")?;
            let length = p.operand()?;
            p.expect_word("as", "and the name of the anomaly after the length")?;
            found.long_lines.replace((length, item::anomaly_name(p)?)).is_some()
        } else {
            return Ok(found);
        };
        if repeated {
            p.report(Diagnostic::error(Code::S7, "this is said twice").primary(p.since(start), "again here"));
        }
    }
}

/// Whether a delimiter begins here, not a test.
pub(super) fn at_delimiter(p: &mut Parser<'_>) -> bool {
    let token = p.peek();
    match token.kind {
        TokenKind::Text | TokenKind::Raw | TokenKind::Regex => true,
        TokenKind::Symbol(symbol) => symbol == Symbol::BracketOpen,
        _ => p.at_words("empty", "line") || p.at_word("newline"),
    }
}

/// Reads what ends a text or a repetition.
pub(super) fn delimiter(p: &mut Parser<'_>) -> Parsed<Delimiter> {
    let start = p.peek().span;
    let mut alternatives = vec![one_delimiter(p)?];
    while p.at_clause("or") {
        p.advance();
        alternatives.push(one_delimiter(p)?);
    }
    Ok(Delimiter { alternatives, span: p.since(start) })
}

fn one_delimiter(p: &mut Parser<'_>) -> Parsed<DelimiterKind> {
    let token = p.peek();
    match token.kind {
        TokenKind::Symbol(Symbol::BracketOpen) => class(p).map(DelimiterKind::Class),
        TokenKind::Regex => {
            p.advance();
            Ok(DelimiterKind::Regex(inside(p.slice(token.span))))
        }
        TokenKind::Text | TokenKind::Raw if p.second().kind != TokenKind::Symbol(Symbol::Plus) => {
            p.text("a delimiter").map(DelimiterKind::Literal)
        }
        _ if p.eat_words("empty", "line").is_some() => Ok(DelimiterKind::EmptyLine),
        _ if p.eat_clause("newline").is_some() => Ok(DelimiterKind::Newline),
        _ if p.at_operand() => p.sum().map(DelimiterKind::Computed),
        _ => {
            let diagnostic = p
                .unexpected_here("a delimiter")
                .help("a delimiter is a text \">\", a set of bytes [ ,;], `newline`, `empty line`, or a sum of texts");
            Err(p.report_at_token(diagnostic))
        }
    }
}

/// Reads `max N`, `max depth N`, `max N elements`, `max N digits`.
pub(super) fn maximum(p: &mut Parser<'_>) -> Parsed<Maximum> {
    let start = p.advance().span;
    let depth = p.eat_word("depth").is_some();
    let amount = p.operand()?;
    let of = if depth {
        MaximumOf::Depth
    } else if p.eat_clause("elements").is_some() {
        MaximumOf::Elements
    } else if p.eat_clause("digits").is_some() {
        MaximumOf::Digits
    } else {
        MaximumOf::Size
    };
    Ok(Maximum { amount, of, span: SpanOf(p.since(start)) })
}

/// Reads `[A-Za-z0-9-]`.
pub(super) fn class(p: &mut Parser<'_>) -> Parsed<CharacterClass> {
    let span = p.class()?;
    let text = inside(p.slice(span));
    let (negated, text) = match text.strip_prefix('^') {
        Some(rest) => (true, rest.to_owned()),
        None => (false, text),
    };
    let offset = span.start + 1 + u32::from(negated);
    let mut ranges: Vec<(u8, u8)> = Vec::new();
    let mut at = 0_usize;
    while at < text.len() {
        let (low, length) = class_byte(p, &text, at, offset)?;
        let dash = at + length;
        let is_range = text.get(dash..dash + 1) == Some("-") && dash + 1 < text.len();
        let (high, end) = if is_range {
            let (high, length) = class_byte(p, &text, dash + 1, offset)?;
            (high, dash + 1 + length)
        } else {
            (low, dash)
        };
        if high < low {
            return Err(p.report(
                Diagnostic::error(Code::S3, "this range of bytes goes backwards")
                    .primary(part(span, offset, at, end), "")
                    .help("write the smaller byte first; a `-` that stands for itself comes last or is written \\-"),
            ));
        }
        ranges.push((low, high));
        at = end;
    }
    if ranges.is_empty() && !negated {
        return Err(p.report(Diagnostic::error(Code::S3, "no byte is in this set").primary(span, "")));
    }
    Ok(CharacterClass { ranges, negated })
}

// One byte of a set, and how many bytes of source it took.
fn class_byte(p: &mut Parser<'_>, text: &str, at: usize, offset: u32) -> Parsed<(u8, usize)> {
    let rest = text.get(at..).unwrap_or("");
    let found = match rest.as_bytes() {
        [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            let digits = rest.get(2..4).unwrap_or("0");
            u8::from_str_radix(digits, 16).ok().map(|byte| (byte, 4))
        }
        [b'\\', b'r', ..] => Some((b'\r', 2)),
        [b'\\', b'n', ..] => Some((b'\n', 2)),
        [b'\\', b't', ..] => Some((b'\t', 2)),
        [b'\\', b'0', ..] => Some((0, 2)),
        [b'\\', sign, ..] if sign.is_ascii_punctuation() => Some((*sign, 2)),
        [b'\\', ..] | [] => None,
        [byte, ..] => byte.is_ascii().then_some((*byte, 1)),
    };
    if let Some(found) = found {
        return Ok(found);
    }
    let length: usize = rest.chars().take(if rest.starts_with('\\') { 2 } else { 1 }).map(char::len_utf8).sum();
    let span = Span::new(p.source(), offset, offset);
    let shown = rest.get(..length).unwrap_or("").to_owned();
    Err(p.report(
        Diagnostic::error(Code::S3, format!("`{shown}` is no byte of a set"))
            .primary(part(span, offset, at, at + length), "")
            .help("a set holds ASCII signs, ranges such as a-z, and \\r \\n \\t \\0 \\] \\\\ \\- \\xC3"),
    ))
}

fn part(span: Span, offset: u32, from: usize, to: usize) -> Span {
    let at = |index: usize| offset.saturating_add(u32::try_from(index).unwrap_or(u32::MAX));
    Span::new(span.source, at(from), at(to))
}

// What stands between the first and the last sign.
fn inside(text: &str) -> String {
    text.get(1..text.len().saturating_sub(1)).unwrap_or("").to_owned()
}
