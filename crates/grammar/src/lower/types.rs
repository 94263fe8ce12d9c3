//! Types: how the octets of a field become a value.

use portcullis_lang::{Code, Diagnostic, Span, Type};

use crate::model::{ClassSet, Conversion, Delimiter, Field, Item, Literal, Shape};
use crate::syntax::tree::{self, CharacterClass, DelimiterKind, MaximumOf, Modifiers, TypeKind};

use super::Declared;
use super::fields::{Label, Left, NOTHING};
use super::names::Spelling;
use super::rules::RuleBuilder;

/// What a type is on the wire and as a value.
struct Lowered {
    shape: Shape,
    kind: Type,
    spelling: Spelling,
    /// Whether it is made of single bits.
    bits: Option<u8>,
    /// Whether a `max` bounds it.
    takes_max: bool,
}

impl<'a> RuleBuilder<'_, 'a> {
    /// A field of a type of the language.
    pub(super) fn typed(
        &mut self,
        tree: &'a tree::Type,
        label: Label<'a>,
        modifiers: &'a Modifiers,
        span: Span,
        items: &mut Vec<Item>,
    ) -> Left {
        match &tree.kind {
            TypeKind::Literal(text) => return self.literal(&text.bytes, label, modifiers, span, items),
            TypeKind::Keyword(name) => return self.literal(name.text.as_bytes(), label, modifiers, span, items),
            TypeKind::Line => {
                self.end_on_octet(span);
                let max = self.max_of(modifiers, MaximumOf::Size).unwrap_or(self.max);
                let kind = Type::Text { max: if max == 0 { u32::MAX } else { max } };
                let (slot, field) = self.text_field(Shape::Rest, kind.clone(), Spelling::Any, label, modifiers, span);
                items.push(Item::Line { max, items: vec![Item::Field(field)], span });
                return Left { slot, kind };
            }
            _ => {}
        }
        let Some(lowered) = self.shape(tree, modifiers, span) else {
            if let Label::Name(name) = label {
                self.declare(name, Type::Number { min: i64::MIN, max: i64::MAX }, Spelling::Any);
            }
            return NOTHING;
        };
        self.misplaced(modifiers, &lowered, span);
        match lowered.bits {
            Some(bits) => self.bits = (self.bits + bits) % 8,
            None => self.end_on_octet(span),
        }
        let (slot, field) =
            self.text_field(lowered.shape, lowered.kind.clone(), lowered.spelling, label, modifiers, span);
        let declared = slot.and_then(|slot| self.entry(slot)).map(|entry| entry.info.kind.clone());
        let kind = match field.convert {
            Conversion::Number => digits_type(&field.shape),
            _ => declared.unwrap_or(lowered.kind),
        };
        items.push(Item::Field(field));
        Left { slot, kind }
    }

    /// Declares a field and what is made of its octets.
    fn text_field(
        &mut self,
        shape: Shape,
        kind: Type,
        spelling: Spelling,
        label: Label<'a>,
        modifiers: &'a Modifiers,
        span: Span,
    ) -> (Option<u16>, Field) {
        let mut convert = if modifiers.trimmed.is_some() { Conversion::Trimmed } else { Conversion::None };
        let mut kind = kind;
        if let Some(conversion) = &modifiers.conversion {
            let word = conversion.name.text.as_str();
            let at = conversion.name.span;
            let text = matches!(kind, Type::Text { .. } | Type::Keyword { .. });
            if let Some(default) = &conversion.default {
                self.low.not_supported(default.span, "a default");
            }
            if convert != Conversion::None {
                self.low.not_supported(at, "a conversion of trimmed text");
            }
            match word {
                "number" | "decimal" if !text => {
                    self.low.without_effect(at, "this is a number already", "nothing is left to be done");
                }
                "number" | "decimal" => {
                    match &shape {
                        Shape::Class { set, .. } if digits().intersection(set) == *set => {
                            convert = Conversion::Number;
                            kind = digits_type(&shape);
                        }
                        _ => {
                            self.low.diagnostics.push(
                            Diagnostic::error(Code::C11, "only digits can be read as a number")
                                .primary(at, "this field may have other octets")
                                .secondary(span, "read here")
                                .help("read it as `decimal`, or as text with `let NUMBER = FIELD as decimal` behind it"),
                        );
                        }
                    }
                }
                "lowercase" if text => {
                    convert = Conversion::Lowercase;
                    if let Type::Keyword { max } = kind {
                        kind = Type::Text { max };
                    }
                }
                "lowercase" => self.low.type_error(at, "only text has letters", kind.describe()),
                "hex" | "utf8" | "list" | "parameters" | "address" | "seconds" | "base64" | "milliseconds" => {
                    self.low.not_supported(at, &format!("`as {word}`"));
                }
                _ => self.low.unknown(at, "conversion", word, ["number", "decimal", "lowercase"]),
            }
        }
        let (slot, name) = self.slot_of(label, kind, spelling, modifiers, span);
        (slot, Field { slot, name, shape, convert, span })
    }

    /// The slot and name of a field. What has no name, and nothing said about it, is read and forgotten.
    fn slot_of(
        &mut self,
        label: Label<'a>,
        kind: Type,
        spelling: Spelling,
        modifiers: &'a Modifiers,
        span: Span,
    ) -> (Option<u16>, String) {
        match label {
            Label::Name(name) => (Some(self.declare(name, kind, spelling)), name.text.clone()),
            Label::None => {
                let read = self.keeps_value || !modifiers.checks.is_empty() || !modifiers.relations.is_empty();
                (read.then(|| self.hidden(span)), String::new())
            }
        }
    }

    /// A number with names.
    pub(super) fn enumerated(
        &mut self,
        declared: &Declared,
        label: Label<'a>,
        modifiers: &'a Modifiers,
        span: Span,
        items: &mut Vec<Item>,
    ) -> Left {
        let kind = Type::Enumeration(declared.enumeration.clone());
        let shape = self.integer(declared.bits, false, modifiers.little.is_some(), span);
        let bits = matches!(shape, Shape::Bits(_)).then_some(declared.bits);
        let lowered = Lowered { shape, kind: kind.clone(), spelling: Spelling::Any, bits, takes_max: false };
        self.misplaced(modifiers, &lowered, span);
        match bits {
            Some(bits) => self.bits = (self.bits + bits % 8) % 8,
            None => self.end_on_octet(span),
        }
        let (slot, field) = self.text_field(lowered.shape, kind.clone(), Spelling::Any, label, modifiers, span);
        items.push(Item::Field(field));
        Left { slot, kind }
    }

    fn integer(&mut self, bits: u8, signed: bool, little: bool, span: Span) -> Shape {
        // A number of whole octets that begins inside an octet is read bit by bit.
        if bits.is_multiple_of(8) && bits <= 64 && self.bits == 0 {
            return Shape::Number { octets: bits / 8, little, signed };
        }
        if signed {
            self.low.not_supported(span, "a signed number that does not fill octets");
        }
        if little {
            self.low.not_supported(span, "a number with its low octet first that does not fill octets");
        }
        Shape::Bits(bits.min(63))
    }

    fn literal(
        &mut self,
        bytes: &[u8],
        label: Label<'a>,
        modifiers: &'a Modifiers,
        span: Span,
        items: &mut Vec<Item>,
    ) -> Left {
        self.end_on_octet(span);
        if bytes.is_empty() {
            self.low.without_effect(span, "an empty text is always there", "nothing is read here");
            return NOTHING;
        }
        let fold = (self.low.fold || modifiers.ignoring_case.is_some()) && bytes.iter().any(u8::is_ascii_alphabetic);
        let literal = Literal { bytes: bytes.into(), fold };
        self.no_modifiers(modifiers, "a literal", true);
        let Label::Name(name) = label else {
            items.push(Item::Literal(literal));
            return NOTHING;
        };
        let kind = Type::Text { max: u32::try_from(bytes.len()).unwrap_or(u32::MAX) };
        let spelling = Spelling::Texts(vec![bytes.into()], fold);
        let slot = self.declare(name, kind.clone(), spelling);
        let shape = Shape::OneOf { texts: vec![literal], end: false };
        let field = Field { slot: Some(slot), name: name.text.clone(), shape, convert: Conversion::None, span };
        items.push(Item::Field(field));
        Left { slot: Some(slot), kind }
    }

    /// `"-" or " " or end`
    pub(super) fn alternatives(
        &mut self,
        types: &'a [tree::Type],
        label: Label<'a>,
        modifiers: &'a Modifiers,
        span: Span,
        items: &mut Vec<Item>,
    ) -> Left {
        self.no_modifiers(modifiers, "a choice of texts", true);
        self.end_on_octet(span);
        let fold = self.low.fold || modifiers.ignoring_case.is_some();
        let mut texts: Vec<Literal> = Vec::new();
        let mut end = false;
        for kind in types {
            let bytes: &[u8] = match &kind.kind {
                TypeKind::Literal(text) => &text.bytes,
                TypeKind::Keyword(name) => name.text.as_bytes(),
                TypeKind::End => {
                    end = true;
                    continue;
                }
                _ => {
                    self.low.not_supported(kind.span, "a choice between anything but texts and `end`");
                    continue;
                }
            };
            if bytes.is_empty() {
                self.low.without_effect(
                    kind.span,
                    "an empty text is always there",
                    "what stands behind it is never tried",
                );
                continue;
            }
            let fold = fold && bytes.iter().any(u8::is_ascii_alphabetic);
            let before = texts.iter().find(|text| match text.fold {
                true => bytes.get(..text.bytes.len()).is_some_and(|start| start.eq_ignore_ascii_case(&text.bytes)),
                false => bytes.starts_with(&text.bytes),
            });
            if before.is_some() {
                self.low.diagnostics.push(
                    Diagnostic::error(Code::C13, "this text can never be read here")
                        .primary(kind.span, "one that stands before it begins it")
                        .help("put the longer one first"),
                );
            }
            texts.push(Literal { bytes: bytes.into(), fold });
        }
        let longest = texts.iter().map(|text| text.bytes.len()).max().unwrap_or(0);
        let kind = Type::Text { max: u32::try_from(longest).unwrap_or(u32::MAX) };
        let mut spellings: Vec<Box<[u8]>> = texts.iter().map(|text| text.bytes.clone()).collect();
        if end {
            spellings.push(Box::default());
        }
        let (slot, name) = self.slot_of(label, kind.clone(), Spelling::Texts(spellings, fold), modifiers, span);
        let field = Field { slot, name, shape: Shape::OneOf { texts, end }, convert: Conversion::None, span };
        items.push(Item::Field(field));
        Left { slot, kind }
    }

    fn shape(&mut self, tree: &'a tree::Type, modifiers: &'a Modifiers, span: Span) -> Option<Lowered> {
        let most = if self.max > 0 { self.max } else { u32::MAX };
        let given = self.max_of(modifiers, MaximumOf::Size);
        let max = given.unwrap_or(u32::MAX);
        let text_max = max.min(most);
        let text = |shape| Lowered {
            shape,
            kind: Type::Text { max: text_max },
            spelling: Spelling::Any,
            bits: None,
            takes_max: true,
        };
        Some(match &tree.kind {
            TypeKind::Integer { bits, signed } => {
                let (bits, signed) = (*bits, *signed);
                if bits == 0 || bits > 64 {
                    self.low.type_error(tree.span, "a number has 1 to 64 bits", "not so many");
                    return None;
                }
                let shape = self.integer(bits, signed, modifiers.little.is_some(), span);
                let single = matches!(shape, Shape::Bits(_)).then_some(bits % 8);
                let top =
                    |bits: u8| 1i64.checked_shl(u32::from(bits)).filter(|top| *top > 0).map_or(i64::MAX, |top| top - 1);
                let kind = match signed {
                    true => Type::Number { min: -top(bits - 1) - 1, max: top(bits - 1) },
                    false => Type::Number { min: 0, max: top(bits) },
                };
                Lowered { shape, kind, spelling: Spelling::Any, bits: single, takes_max: false }
            }
            TypeKind::Bit => Lowered {
                shape: Shape::Bits(1),
                kind: Type::Number { min: 0, max: 1 },
                spelling: Spelling::Any,
                bits: Some(1),
                takes_max: false,
            },
            TypeKind::Float(_) => return self.refuse(tree.span, "a floating-point number"),
            TypeKind::Varint => return self.refuse(tree.span, "`varint`"),
            TypeKind::QuicVarint => return self.refuse(tree.span, "`quic_varint`"),
            TypeKind::BerLength => return self.refuse(tree.span, "`ber_length`"),
            TypeKind::Mac => return self.refuse(tree.span, "`mac`"),
            TypeKind::Regex(_) => return self.refuse(tree.span, "a regular expression as a type"),
            TypeKind::Lines(_) => return self.refuse(tree.span, "`lines` inside a record"),
            TypeKind::Ipv4 => Lowered { kind: Type::Address, takes_max: false, ..text(Shape::Ipv4) },
            TypeKind::Ipv6 => Lowered { kind: Type::Address, takes_max: false, ..text(Shape::Ipv6) },
            TypeKind::Bytes(size) => {
                let facts = super::fields::facts_of(self).clone();
                let size = self.check(None, None, |checker| checker.size(size, &facts))?;
                let max = match size.kind {
                    Type::Number { max, .. } => u32::try_from(max).unwrap_or(u32::MAX).min(most),
                    _ => most,
                };
                Lowered { kind: Type::Text { max }, takes_max: false, ..text(Shape::Bytes(size.formula)) }
            }
            TypeKind::BytesMeasured | TypeKind::Text if self.windows == 0 => {
                let word = if matches!(tree.kind, TypeKind::Text) { "text" } else { "bytes" };
                self.low.diagnostics.push(
                    Diagnostic::error(Code::C7, format!("nothing says where `{word}` ends"))
                        .primary(tree.span, "as many octets as there are room for")
                        .help("write `bytes N`, or let a number before it say `measures` with this field's name")
                        .help("`rest` is what is left of the record"),
                );
                return None;
            }
            TypeKind::BytesToEnd if self.windows == 0 => {
                return self.refuse(tree.span, "a record up to the end of the connection");
            }
            TypeKind::BytesMeasured | TypeKind::Text | TypeKind::BytesToEnd | TypeKind::Rest => {
                if let Some(max) = given {
                    let _ = max;
                    self.low.not_supported(span, "a `max` for what is left of a window");
                }
                Lowered { takes_max: true, ..text(Shape::Rest) }
            }
            TypeKind::Word => self.word(letters(), max, text_max, modifiers),
            TypeKind::Token => self.word(token(), max, text_max, modifiers),
            TypeKind::Atom => self.word(atom(), max, text_max, modifiers),
            TypeKind::Digit => {
                let times = self.times(modifiers).unwrap_or(1);
                Lowered {
                    kind: Type::Text { max: times },
                    spelling: Spelling::Class(digits()),
                    takes_max: false,
                    ..text(Shape::Class { set: digits(), min: times, max: times })
                }
            }
            TypeKind::Class(class) => {
                let set = class_of(class);
                if set.is_empty() {
                    self.low.without_effect(tree.span, "this set has no octets", "nothing can be read here");
                    return None;
                }
                self.word(set, max, text_max, modifiers)
            }
            TypeKind::Decimal => {
                let max = self.max_of(modifiers, MaximumOf::Digits).or(given).unwrap_or(19);
                Lowered { kind: number_of_digits(10, max), ..text(Shape::Decimal { max }) }
            }
            TypeKind::Hex => {
                let max = self.max_of(modifiers, MaximumOf::Digits).or(given).unwrap_or(16);
                if max > 16 {
                    self.low.type_error(span, "a hexadecimal number has at most 16 digits", "64 bits");
                }
                Lowered { kind: number_of_digits(16, max), ..text(Shape::Hex { max: max.min(16) }) }
            }
            TypeKind::Blanks => {
                Lowered { spelling: Spelling::Class(ClassSet::of(*b" \t")), takes_max: false, ..text(Shape::Blanks) }
            }
            TypeKind::Newline => Lowered { kind: Type::Text { max: 2 }, takes_max: false, ..text(Shape::Newline) },
            TypeKind::End => Lowered { kind: Type::Text { max: 0 }, takes_max: false, ..text(Shape::End) },
            TypeKind::Until(delimiter) => self.until(delimiter, true, max, text_max, modifiers)?,
            TypeKind::Upto(delimiter) => self.until(delimiter, false, max, text_max, modifiers)?,
            TypeKind::Literal(_) | TypeKind::Keyword(_) | TypeKind::Line | TypeKind::Named(_) => return None,
        })
    }

    fn refuse<T>(&mut self, span: Span, what: &str) -> Option<T> {
        self.low.not_supported(span, what);
        None
    }

    fn word(&mut self, set: ClassSet, max: u32, text_max: u32, modifiers: &'a Modifiers) -> Lowered {
        let (min, max, text_max) = match self.times(modifiers) {
            Some(times) => (times, times, times),
            None => (1, max, text_max),
        };
        let kind = if is_word(&set) { Type::Keyword { max: text_max } } else { Type::Text { max: text_max } };
        let shape = Shape::Class { set, min, max };
        Lowered { shape, kind, spelling: Spelling::Class(set), bits: None, takes_max: true }
    }

    fn until(
        &mut self,
        tree: &'a tree::Delimiter,
        consume: bool,
        max: u32,
        text_max: u32,
        modifiers: &'a Modifiers,
    ) -> Option<Lowered> {
        let mut set = ClassSet::EMPTY;
        let mut text: Option<&[u8]> = None;
        for alternative in &tree.alternatives {
            match alternative {
                DelimiterKind::Literal(literal) if literal.bytes.is_empty() => {
                    self.low.without_effect(literal.span, "an empty text ends nothing", "it is everywhere");
                    return None;
                }
                DelimiterKind::Literal(literal) if tree.alternatives.len() == 1 => text = Some(&literal.bytes),
                DelimiterKind::Literal(literal) if literal.bytes.len() == 1 => {
                    set = set.union(&ClassSet::of(literal.bytes.iter().copied()));
                }
                DelimiterKind::Class(class) => set = set.union(&class_of(class)),
                _ => return self.refuse(tree.span, "a text that ends like this"),
            }
        }
        let (delimiter, or_end, spelling) = match text {
            Some(text) => (Delimiter::Text(text.into()), false, Spelling::Any),
            None => (Delimiter::Class(set), true, Spelling::Class(complement(&set))),
        };
        let quote = self.sign(modifiers.quoted_by.as_ref());
        let escape = self.sign(modifiers.escaped_by.as_ref());
        let plain = quote.is_none() && escape.is_none();
        let kind = match &spelling {
            Spelling::Class(set) if plain && is_word(set) => Type::Keyword { max: text_max },
            _ => Type::Text { max: text_max },
        };
        let spelling = if plain { spelling } else { Spelling::Any };
        let shape = Shape::Until { delimiter, or_end, quote, escape, consume, max };
        Some(Lowered { shape, kind, spelling, bits: None, takes_max: true })
    }

    fn sign(&mut self, text: Option<&portcullis_lang::Text>) -> Option<u8> {
        let text = text?;
        match text.bytes.as_slice() {
            [only] => Some(*only),
            _ => {
                self.low.type_error(text.span, "one sign is needed here", "a quote or an escape is a single octet");
                None
            }
        }
    }

    fn times(&mut self, modifiers: &'a Modifiers) -> Option<u32> {
        let times = modifiers.times.as_ref()?;
        let count = self.low.constant(times, 1 << 16).and_then(|times| u32::try_from(times).ok())?;
        if count == 0 {
            self.low.without_effect(times.span, "nothing is read here", "0 times");
        }
        Some(count.max(1))
    }

    /// The `max` of a kind.
    fn max_of(&mut self, modifiers: &'a Modifiers, of: MaximumOf) -> Option<u32> {
        let maximum = modifiers.maxima.iter().find(|maximum| maximum.of == of)?;
        let max = self.low.constant(&maximum.amount, u64::from(u32::MAX - 1)).and_then(|n| u32::try_from(n).ok())?;
        if max == 0 {
            self.low.without_effect(maximum.span.0, "nothing fits into 0 octets", "at least 1");
        }
        Some(max.max(1))
    }

    /// C21: what is said of a type that it has nothing to do with.
    fn misplaced(&mut self, modifiers: &'a Modifiers, lowered: &Lowered, span: Span) {
        let shape = &lowered.shape;
        let number = matches!(shape, Shape::Decimal { .. } | Shape::Hex { .. });
        for maximum in &modifiers.maxima {
            let fits = match maximum.of {
                MaximumOf::Size => lowered.takes_max,
                MaximumOf::Digits => number,
                MaximumOf::Depth | MaximumOf::Elements => false,
            };
            if !fits {
                self.low.without_effect(
                    maximum.span.0,
                    "this `max` has no effect",
                    "what stands before it has no such bound",
                );
            }
        }
        let class = matches!(shape, Shape::Class { .. });
        if let (Some(times), false) = (&modifiers.times, class) {
            self.low.without_effect(times.span, "`x` counts octets of a set", "what stands before it has its own size");
        }
        let little = matches!(shape, Shape::Number { octets, .. } if *octets > 1);
        if let (Some(word), false) = (modifiers.little, little) {
            self.low.without_effect(word.0, "`little` has no effect", "only numbers of several octets have an order");
        }
        if let (Some(word), false) =
            (modifiers.trimmed, matches!(lowered.kind, Type::Text { .. } | Type::Keyword { .. }))
        {
            self.low.without_effect(word.0, "`trimmed` has no effect", "only text has blanks at its ends");
        }
        if let Some(word) = modifiers.unfolded {
            self.low.not_supported(word.0, "`unfolded`");
        }
        if let Some(word) = modifiers.ignoring_case {
            self.low.without_effect(word.0, "`ignoring case` has no effect", "only a literal has letters of its own");
        }
        let until = matches!(shape, Shape::Until { .. });
        for text in [&modifiers.quoted_by, &modifiers.escaped_by].into_iter().flatten() {
            if !until {
                self.low.without_effect(
                    text.span,
                    "this has no effect",
                    "only `until` and `upto` look for a delimiter",
                );
            }
        }
        let numeric = matches!(lowered.kind, Type::Number { .. } | Type::Enumeration(_))
            || modifiers.conversion.as_ref().is_some_and(|to| matches!(to.name.text.as_str(), "number" | "decimal"));
        if let (Some(relation), false) = (modifiers.relations.first(), numeric) {
            self.low.type_error(relation.span, "only a number measures or counts", lowered.kind.describe());
        }
        let _ = span;
    }

    /// C21: modifiers of types behind something that is none. `maxima`: whether they, too, have no meaning here.
    pub(super) fn no_modifiers(&mut self, modifiers: &'a Modifiers, what: &str, maxima: bool) {
        let mut spans: Vec<Span> = Vec::new();
        if maxima {
            spans.extend(modifiers.maxima.iter().map(|maximum| maximum.span.0));
        }
        spans.extend(modifiers.times.as_ref().map(|times| times.span));
        spans.extend(modifiers.little.map(|word| word.0));
        spans.extend(modifiers.trimmed.map(|word| word.0));
        spans.extend(modifiers.unfolded.map(|word| word.0));
        spans.extend(modifiers.quoted_by.as_ref().map(|text| text.span));
        spans.extend(modifiers.escaped_by.as_ref().map(|text| text.span));
        spans.extend(modifiers.conversion.as_ref().map(|conversion| conversion.name.span));
        spans.extend(modifiers.relations.iter().map(|relation| relation.span));
        if what != "a literal" && what != "a choice of texts" {
            spans.extend(modifiers.ignoring_case.map(|word| word.0));
        }
        for span in spans {
            self.low.without_effect(span, "this has no effect", format!("{what} cannot have it"));
        }
    }
}

fn digits_type(shape: &Shape) -> Type {
    match shape {
        Shape::Class { max, .. } => number_of_digits(10, *max),
        _ => Type::Number { min: 0, max: i64::MAX },
    }
}

fn number_of_digits(base: i64, digits: u32) -> Type {
    Type::Number { min: 0, max: base.checked_pow(digits).map_or(i64::MAX, |power| power - 1) }
}

/// The octets of a set as it was written.
pub(super) fn class_of(class: &CharacterClass) -> ClassSet {
    let set = ClassSet::of(class.ranges.iter().flat_map(|(low, high)| *low..=*high));
    if class.negated { complement(&set) } else { set }
}

fn complement(set: &ClassSet) -> ClassSet {
    ClassSet(set.0.map(|word| !word))
}

/// ASCII letters.
pub(super) fn letters() -> ClassSet {
    ClassSet::of((b'A'..=b'Z').chain(b'a'..=b'z'))
}

/// Decimal digits.
pub(super) fn digits() -> ClassSet {
    ClassSet::of(b'0'..=b'9')
}

/// RFC 9110 section 5.6.2.
pub(super) fn token() -> ClassSet {
    letters().union(&digits()).union(&ClassSet::of(*b"!#$%&'*+-.^_`|~"))
}

/// RFC 5322 section 3.2.3.
pub(super) fn atom() -> ClassSet {
    letters().union(&digits()).union(&ClassSet::of(*b"!#$%&'*+-/=?^_`{|}~"))
}

/// Whether what is made of these octets is a word that keywords are compared with.
fn is_word(set: &ClassSet) -> bool {
    let words = token().union(&atom());
    set.intersection(&words) == *set && !set.intersection(&letters()).is_empty()
}
