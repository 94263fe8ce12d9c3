//! Tokens of both languages, read one at a time with nom.
//!
//! Keywords are contextual: `line`, `MAIL` and `recipient` are all just words, and the parser knows which may stand where. A token
//! can be read at any offset without knowing what came before, which is how a parser reads `[A-Z]` as a set of bytes in one
//! place and as an index in another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nom::branch::alt;
use nom::bytes::complete::{is_not, tag, take_while, take_while_m_n, take_while1};
use nom::character::complete::{anychar, char, digit1, none_of, satisfy};
use nom::combinator::{map_opt, opt, recognize, value, verify};
use nom::multi::many0_count;
use nom::sequence::{delimited, pair, preceded};
use nom::{IResult, Parser as _};

use crate::source::{SourceId, Span};

/// The smallest unit of a source text that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where.
    pub span: Span,
}

/// What a [`Token`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// `verb`, `MAIL`, `_`.
    Word,
    /// `25`, `0x1F`, `1_000`, without a unit.
    Number,
    /// `10.0.0.1`, `fd00::/8`.
    Address,
    /// `"text\r\n"`.
    Text,
    /// `'raw'`: no escapes.
    Raw,
    /// `/regular expression/`.
    Regex,
    /// `[A-Za-z]`; only where the parser asks for it.
    Class,
    /// Signs.
    Symbol(Symbol),
    /// The end of the source.
    End,
    /// Something that is no token.
    Bad(Fault),
}

/// Why something is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// `"abc` and then the line ends.
    UnterminatedText,
    /// `/abc` and then the line ends.
    UnterminatedRegex,
    /// `[abc` and then the line ends.
    UnterminatedClass,
    /// `12abc`, `0x`, or more than 64 bits.
    BadNumber,
    /// `300.1.1.1`, `10.0.0.0/40`.
    BadAddress,
    /// A character that begins nothing.
    UnknownCharacter,
}

macro_rules! symbols {
    ($($name:ident $text:literal)*) => {
        /// A sign or a pair of signs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Symbol {
            $(#[doc = concat!("`", $text, "`.")] $name,)*
        }

        impl Symbol {
            /// The sign as it is written.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Symbol::$name => $text,)*
                }
            }

            // Longer ones come first in the list below, so that `==` is not read as `=` twice.
            const ALL: &'static [Symbol] = &[$(Symbol::$name),*];
        }
    };
}

symbols! {
    Arrow "->"
    FatArrow "=>"
    EqualEqual "=="
    NotEqual "!="
    LessEqual "<="
    GreaterEqual ">="
    ShiftLeft "<<"
    ShiftRight ">>"
    DotDot ".."
    BraceOpen "{"
    BraceClose "}"
    ParenOpen "("
    ParenClose ")"
    BracketOpen "["
    BracketClose "]"
    Colon ":"
    Comma ","
    Dot "."
    Equal "="
    Less "<"
    Greater ">"
    Plus "+"
    Minus "-"
    Star "*"
    Ampersand "&"
    Bar "|"
}

/// The units a number may have, and what one is: bytes, or nanoseconds.
pub(crate) const UNITS: &[(&str, Unit)] = &[
    ("KB", Unit::Bytes(1 << 10)),
    ("MB", Unit::Bytes(1 << 20)),
    ("GB", Unit::Bytes(1 << 30)),
    ("ns", Unit::Nanoseconds(1)),
    ("us", Unit::Nanoseconds(1_000)),
    ("ms", Unit::Nanoseconds(1_000_000)),
    ("s", Unit::Nanoseconds(1_000_000_000)),
    ("min", Unit::Nanoseconds(60_000_000_000)),
    ("h", Unit::Nanoseconds(3_600_000_000_000)),
    ("d", Unit::Nanoseconds(86_400_000_000_000)),
];

/// The factor of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Of a size.
    Bytes(u64),
    /// Of a duration.
    Nanoseconds(u64),
}

/// The unit of this name.
pub(crate) fn unit(word: &str) -> Option<Unit> {
    UNITS.iter().find(|(name, _)| *name == word).map(|&(_, unit)| unit)
}

/// Reads the token at or behind `offset`, after blanks and comments.
pub fn lex(source: SourceId, text: &str, offset: u32) -> Token {
    let rest = text.get(offset as usize..).unwrap_or("");
    let rest = skip_trivia(rest);
    let start = text.len() - rest.len();
    let (end, kind) = if rest.is_empty() {
        (start, TokenKind::End)
    } else {
        match token(rest) {
            Ok((after, kind)) => (text.len() - after.len(), kind),
            Err(_) => {
                let (length, fault) = fault(rest);
                (start + length, TokenKind::Bad(fault))
            }
        }
    };
    Token { kind, span: span(source, start, end) }
}

/// Reads `[...]` as a set of bytes; `offset` is where its `[` is.
pub fn lex_class(source: SourceId, text: &str, offset: u32) -> Token {
    let start = offset as usize;
    let rest = text.get(start..).unwrap_or("");
    match class(rest) {
        Ok((after, _)) => Token { kind: TokenKind::Class, span: span(source, start, text.len() - after.len()) },
        Err(_) => {
            let kind = TokenKind::Bad(Fault::UnterminatedClass);
            Token { kind, span: span(source, start, start + open_length(rest)) }
        }
    }
}

/// The comments of a stretch between two tokens: their spans, from `#` to the last character that is no blank.
pub fn comments_between(source: SourceId, text: &str, start: u32, end: u32) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut at = start as usize;
    for line in text.get(start as usize..end as usize).unwrap_or("").split_inclusive('\n') {
        if let Some(hash) = line.find('#') {
            let comment = line.get(hash..).unwrap_or("").trim_end();
            spans.push(span(source, at + hash, at + hash + comment.len()));
        }
        at += line.len();
    }
    spans
}

fn span(source: SourceId, start: usize, end: usize) -> Span {
    // Texts are bounded by MAX_SOURCE_BYTES, far below 4 GB.
    Span::new(source, u32::try_from(start).unwrap_or(u32::MAX), u32::try_from(end).unwrap_or(u32::MAX))
}

fn skip_trivia(text: &str) -> &str {
    let blanks = take_while1::<_, _, nom::error::Error<&str>>(char::is_whitespace);
    let comment = recognize(pair(char('#'), opt(is_not("\n"))));
    match recognize(many0_count(alt((blanks, comment)))).parse(text) {
        Ok((rest, _)) => rest,
        Err(_) => text,
    }
}

fn token(text: &str) -> IResult<&str, TokenKind> {
    alt((
        value(TokenKind::Address, address),
        value(TokenKind::Word, word),
        value(TokenKind::Number, number),
        value(TokenKind::Text, quoted),
        value(TokenKind::Raw, delimited(char('\''), opt(is_not("'\n")), char('\''))),
        value(TokenKind::Regex, regex),
        map_opt(symbol, |found| Some(TokenKind::Symbol(found))),
    ))
    .parse(text)
}

fn word(text: &str) -> IResult<&str, &str> {
    recognize(pair(satisfy(|c| c.is_ascii_alphabetic() || c == '_'), take_while(is_word_character))).parse(text)
}

fn is_word_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

// A unit may stand right behind its number: `64KB`.
fn number(text: &str) -> IResult<&str, &str> {
    let hexadecimal = recognize(pair(tag("0x"), take_while1(|c: char| c.is_ascii_hexdigit() || c == '_')));
    let binary = recognize(pair(tag("0b"), take_while1(|c: char| matches!(c, '0' | '1' | '_'))));
    let decimal = recognize(pair(digit1, take_while(|c: char| c.is_ascii_digit() || c == '_')));
    let (rest, digits) =
        verify(alt((hexadecimal, binary, decimal)), |found: &str| number_value(found).is_some()).parse(text)?;
    let (_, suffix) = take_while(is_word_character)(rest)?;
    let is_address = ipv4(text).is_ok();
    if !is_address && (suffix.is_empty() || unit(suffix).is_some()) {
        Ok((rest, digits))
    } else {
        Err(nom::Err::Error(nom::error::Error::new(text, nom::error::ErrorKind::Digit)))
    }
}

fn quoted(text: &str) -> IResult<&str, &str> {
    let piece = alt((recognize(preceded(char('\\'), none_of("\n"))), is_not("\"\\\n")));
    recognize((char('"'), many0_count(piece), char('"'))).parse(text)
}

fn regex(text: &str) -> IResult<&str, &str> {
    let piece = alt((recognize(preceded(char('\\'), none_of("\n"))), is_not("/\\\n")));
    recognize((char('/'), many0_count(piece), char('/'))).parse(text)
}

fn class(text: &str) -> IResult<&str, &str> {
    let piece = alt((recognize(preceded(char('\\'), none_of("\n"))), is_not("]\\\n")));
    recognize((char('['), many0_count(piece), char(']'))).parse(text)
}

fn symbol(text: &str) -> IResult<&str, Symbol> {
    for &symbol in Symbol::ALL {
        if let Some(rest) = text.strip_prefix(symbol.as_str()) {
            return Ok((rest, symbol));
        }
    }
    Err(nom::Err::Error(nom::error::Error::new(text, nom::error::ErrorKind::Tag)))
}

fn address(text: &str) -> IResult<&str, &str> {
    let prefix = opt(preceded(char('/'), digit1));
    let (rest, found) = recognize(pair(alt((ipv4, ipv6)), prefix)).parse(text)?;
    let joined = rest.chars().next().is_some_and(is_word_character);
    if joined || address_value(found).is_none() {
        return Err(nom::Err::Error(nom::error::Error::new(text, nom::error::ErrorKind::Verify)));
    }
    Ok((rest, found))
}

fn ipv4(text: &str) -> IResult<&str, &str> {
    recognize((digit1, char('.'), digit1, char('.'), digit1, char('.'), digit1)).parse(text)
}

// 45 characters are the longest form. Field labels such as `fd:` have neither `::` nor seven colons.
fn ipv6(text: &str) -> IResult<&str, &str> {
    let characters = take_while_m_n(2, 45, |c: char| c.is_ascii_hexdigit() || c == ':' || c == '.');
    verify(characters, |found: &str| {
        (found.contains("::") || found.matches(':').count() == 7) && found.parse::<Ipv6Addr>().is_ok()
    })
    .parse(text)
}

// What stands here is no token: says why, and how much of it to leave out so that what follows makes sense again.
fn fault(text: &str) -> (usize, Fault) {
    let word = |text: &str| text.chars().take_while(|&c| is_word_character(c) || c == '.').map(char::len_utf8).sum();
    match anychar::<_, nom::error::Error<&str>>(text) {
        Ok((_, '"' | '\'')) => (open_length(text), Fault::UnterminatedText),
        Ok((_, '/')) => (open_length(text), Fault::UnterminatedRegex),
        Ok((_, '0'..='9')) => match recognize(pair(ipv4, opt(preceded(char('/'), digit1)))).parse(text) {
            Ok((_, found)) => (found.len(), Fault::BadAddress),
            Err(_) => (word(text), Fault::BadNumber),
        },
        Ok((_, other)) => (other.len_utf8(), Fault::UnknownCharacter),
        Err(_) => (text.len(), Fault::UnknownCharacter),
    }
}

// How much of a line something without an end takes: not the braces at its end, which belong to blocks around it.
fn open_length(text: &str) -> usize {
    let line = text.lines().next().unwrap_or("");
    let inner = line.get(1..).unwrap_or("").trim_end_matches([' ', '\t', '\r', '}']);
    inner.len() + 1
}

/// The value of a number without a unit.
pub(crate) fn number_value(text: &str) -> Option<u64> {
    let digits: String = text.chars().filter(|&c| c != '_').collect();
    if let Some(hexadecimal) = digits.strip_prefix("0x") {
        u64::from_str_radix(hexadecimal, 16).ok()
    } else if let Some(binary) = digits.strip_prefix("0b") {
        u64::from_str_radix(binary, 2).ok()
    } else {
        digits.parse().ok()
    }
}

/// The value of an address, with the length of its prefix if it has one.
pub(crate) fn address_value(text: &str) -> Option<(IpAddr, Option<u8>)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address = match address.parse::<Ipv4Addr>() {
        Ok(address) => IpAddr::V4(address),
        Err(_) => IpAddr::V6(address.parse::<Ipv6Addr>().ok()?),
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    if prefix.is_some_and(|prefix| prefix > most) { None } else { Some((address, prefix)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(TokenKind, &str)> {
        let mut at = 0;
        let mut found = Vec::new();
        loop {
            let token = lex(SourceId(0), text, at);
            if token.kind == TokenKind::End {
                return found;
            }
            found.push((token.kind, token.span.of(text)));
            assert!(token.span.end > at, "no progress at {at} in {text:?}");
            at = token.span.end;
        }
    }

    #[test]
    fn words_numbers_and_signs() {
        use TokenKind::*;
        assert_eq!(
            kinds("a1 # comment\n 0x1F..64KB=>MAIL"),
            [
                (Word, "a1"),
                (Number, "0x1F"),
                (Symbol(super::Symbol::DotDot), ".."),
                (Number, "64"),
                (Word, "KB"),
                (Symbol(super::Symbol::FatArrow), "=>"),
                (Word, "MAIL"),
            ]
        );
    }

    #[test]
    fn texts_keep_their_escapes_and_signs() {
        use TokenKind::*;
        let found = kinds(r##""a\"#b" '"' '\' /a\/b/ "##);
        assert_eq!(found, [(Text, r##""a\"#b""##), (Raw, "'\"'"), (Raw, r"'\'"), (Regex, r"/a\/b/")]);
    }

    #[test]
    fn addresses_are_not_ranges_and_not_labels() {
        use TokenKind::*;
        let colon = Symbol(super::Symbol::Colon);
        assert_eq!(
            kinds("10.0.0.0/8 fd00::/8 ::1"),
            [(Address, "10.0.0.0/8"), (Address, "fd00::/8"), (Address, "::1")]
        );
        assert_eq!(kinds("fd: a"), [(Word, "fd"), (colon, ":"), (Word, "a")]);
        assert_eq!(kinds("1..5").len(), 3);
    }

    #[test]
    fn faults_name_their_kind_and_go_no_further_than_needed() {
        use TokenKind::*;
        assert_eq!(kinds("\"abc\nd"), [(Bad(Fault::UnterminatedText), "\"abc"), (Word, "d")]);
        assert_eq!(kinds("12abc d"), [(Bad(Fault::BadNumber), "12abc"), (Word, "d")]);
        assert_eq!(kinds("99999999999999999999"), [(Bad(Fault::BadNumber), "99999999999999999999")]);
        assert_eq!(kinds("300.1.1.1"), [(Bad(Fault::BadAddress), "300.1.1.1")]);
        assert_eq!(kinds("10.0.0.0/40 a"), [(Bad(Fault::BadAddress), "10.0.0.0/40"), (Word, "a")]);
        assert_eq!(kinds("ä;"), [(Bad(Fault::UnknownCharacter), "ä"), (Bad(Fault::UnknownCharacter), ";")]);
    }

    #[test]
    fn comments_end_with_their_line() {
        let text = "a  # one \n  # two\nb";
        let found: Vec<&str> =
            comments_between(SourceId(0), text, 1, 18).into_iter().map(|span| span.of(text)).collect();
        assert_eq!(found, ["# one", "# two"]);
    }
}
