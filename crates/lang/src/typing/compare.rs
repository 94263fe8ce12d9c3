//! Comparisons, and the constants that fields are compared with.

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::expression::{Expression, ExpressionKind, Name, UnaryOperator};
use crate::formula::{Comparison, Formula, Place, Scope};
use crate::scheme::{CaseValue, Type, event_slots};
use crate::source::Span;
use crate::suggest::suggest;

use super::checker::{Absence, Checker, Tested, Typed, constant, decided};
use super::domain::{Domain, describe_range};
use super::facts::Facts;

/// Longest text of a message that is taken from a file as it stands, in octets.
const SHOWN_BYTES: usize = 64;

impl Checker<'_> {
    pub(super) fn compare(
        &mut self,
        operator: Comparison,
        left: &Expression,
        right: &Expression,
        span: Span,
        facts: &Facts,
    ) -> Option<Tested> {
        if is_constant(left) && !is_constant(right) {
            return self.compare(mirrored(operator), right, left, span, facts);
        }
        if is_constant(left) {
            let both = left.kind == right.kind;
            let label = if both { "both sides are the same" } else { "nothing that is read has a part in it" };
            self.diagnostics
                .push(Diagnostic::error(Code::C21, "this test compares two constants").primary(span, label));
            return None;
        }
        if left == right {
            let diagnostic = Diagnostic::error(Code::C21, "this compares something with itself");
            self.diagnostics.push(diagnostic.primary(span, "both sides are the same"));
            return None;
        }
        let typed = self.value(left, facts, Absence::Refused)?;
        match self.case(&typed, left.span, right)? {
            Some(case) => self.compare_constant(operator, typed, &case, left.span, span, facts),
            None => {
                let other = self.value(right, facts, Absence::Refused)?;
                self.compare_typed(operator, typed, other, left.span, right.span, facts)
            }
        }
    }

    pub(super) fn compare_constant(
        &mut self,
        operator: Comparison,
        typed: Typed,
        case: &Constant,
        place: Span,
        span: Span,
        facts: &Facts,
    ) -> Option<Tested> {
        let ordered = !matches!(operator, Comparison::Equal | Comparison::NotEqual);
        if ordered && !matches!(typed.kind, Type::Number { .. } | Type::Enumeration(_)) {
            let kind = typed.kind.describe();
            return self.type_error(
                span,
                "only numbers have an order",
                format!("{kind} is not less or more than another"),
            );
        }
        let domain = match case {
            Constant::Number(number) => Some(number_domain(operator, *number)),
            Constant::Word(word) => {
                let is = Domain::words(vec![word.clone()]);
                Some(if operator == Comparison::NotEqual { is.complement() } else { is })
            }
            _ => None,
        };
        if let Some(domain) = &domain {
            self.check_decided(&typed, domain, place, span, facts)?;
        }
        let fold = self.folds(&typed);
        let formula =
            Formula::Compare { operator, left: Box::new(typed.formula.clone()), right: Box::new(case.formula()), fold };
        Some(decided(formula, &typed, domain.as_ref(), facts))
    }

    pub(super) fn compare_typed(
        &mut self,
        operator: Comparison,
        left: Typed,
        right: Typed,
        left_span: Span,
        right_span: Span,
        facts: &Facts,
    ) -> Option<Tested> {
        let number = |kind: &Type| matches!(kind, Type::Number { .. } | Type::Enumeration(_));
        let text = |kind: &Type| matches!(kind, Type::Text { .. } | Type::Keyword { .. });
        let both = |test: fn(&Type) -> bool| test(&left.kind) && test(&right.kind);
        let fits = both(number)
            || both(text)
            || both(|kind| matches!(kind, Type::Boolean))
            || both(|kind| matches!(kind, Type::Address));
        if !fits {
            self.diagnostics.push(
                Diagnostic::error(Code::C11, "these two cannot be compared")
                    .primary(left_span, left.kind.describe())
                    .secondary(right_span, right.kind.describe()),
            );
            return None;
        }
        if !both(number) && !matches!(operator, Comparison::Equal | Comparison::NotEqual) {
            let kind = left.kind.describe();
            return self.type_error(left_span, "only numbers have an order", kind);
        }
        let fold = self.folds(&left) || self.folds(&right);
        let formula = Formula::Compare {
            operator,
            left: Box::new(left.formula.clone()),
            right: Box::new(right.formula.clone()),
            fold,
        };
        // What one side is known to be bounds the other.
        let bound = |kind: &Type| match (kind, operator) {
            (Type::Number { min, max }, Comparison::Equal) => Some(Domain::range(*min, *max)),
            (Type::Number { max, .. }, Comparison::Less) => Some(Domain::range(i64::MIN, max.saturating_sub(1))),
            (Type::Number { max, .. }, Comparison::LessOrEqual) => Some(Domain::range(i64::MIN, *max)),
            (Type::Number { min, .. }, Comparison::Greater) => Some(Domain::range(min.saturating_add(1), i64::MAX)),
            (Type::Number { min, .. }, Comparison::GreaterOrEqual) => Some(Domain::range(*min, i64::MAX)),
            _ => None,
        };
        let mut tested = decided(formula, &left, None, facts);
        let holds = decided(Formula::Boolean(true), &right, None, &tested.holds).holds;
        tested.holds = holds;
        if let (Some(subject), Some(domain)) = (left.subject, bound(&right.kind)) {
            tested.holds.learn_domain(subject, &domain);
        }
        Some(tested)
    }

    /// The constant that an expression is, as a value of this type; `Some(None)` if it is none.
    pub(super) fn case(&mut self, typed: &Typed, place: Span, expression: &Expression) -> Option<Option<Constant>> {
        if !is_constant(expression) {
            if let (Some(name), Some(found)) = (single_name(expression), &typed.found) {
                let constants = match found.place {
                    Place { scope: Scope::Event, slot: event_slots::SIDE } => vec!["client".into(), "server".into()],
                    place => self.names.constants(place),
                };
                if constants.contains(&name.text) {
                    return Some(Some(Constant::Word(name.text.as_bytes().into())));
                }
                if !constants.is_empty()
                    && !matches!(self.names.resolve(std::slice::from_ref(name)), super::Resolution::Field(_))
                {
                    return self.no_such(name, "value", &constants);
                }
            }
            if let (Some(name), Type::Enumeration(enumeration)) = (single_name(expression), &typed.kind)
                && let Some(value) = enumeration.value_of(&name.text)
            {
                return Some(Some(Constant::Number(value)));
            }
            return Some(None);
        }
        let span = expression.span;
        let constant = match (&typed.kind, &expression.kind) {
            (Type::Number { .. } | Type::Enumeration(_), ExpressionKind::Number(number)) => {
                Constant::Number(i64::try_from(*number).unwrap_or(i64::MAX))
            }
            (Type::Number { .. }, ExpressionKind::Unary(UnaryOperator::Negate, inner)) => match inner.kind {
                ExpressionKind::Number(number) => {
                    Constant::Number(i64::try_from(number).map_or(i64::MIN, |number| number.saturating_neg()))
                }
                _ => return Some(None),
            },
            (Type::Number { min: 0, max: 1 }, ExpressionKind::Boolean(value)) => Constant::Number(i64::from(*value)),
            (Type::Enumeration(enumeration), ExpressionKind::Keyword(name)) => match enumeration.value_of(&name.text) {
                Some(value) => Constant::Number(value),
                None => {
                    let members: Vec<String> = enumeration.members.iter().map(|member| member.0.clone()).collect();
                    let what = format!("`{}`", enumeration.name);
                    return self.no_such(name, &what, &members);
                }
            },
            (Type::Keyword { max }, ExpressionKind::Keyword(name)) => {
                self.word(typed, *max, name.text.as_bytes(), span)?
            }
            (Type::Keyword { max } | Type::Text { max }, ExpressionKind::Text(text)) => {
                self.word(typed, *max, &text.bytes, span)?
            }
            (Type::Boolean, ExpressionKind::Boolean(value)) => Constant::Boolean(*value),
            (Type::Address, ExpressionKind::Address(address)) => Constant::Address(*address),
            (kind, constant) => {
                let diagnostic = Diagnostic::error(Code::C11, mismatch(kind, constant))
                    .primary(span, describe_constant(constant))
                    .secondary(place, kind.describe());
                let diagnostic = match (kind, constant) {
                    (Type::Number { .. } | Type::Enumeration(_), ExpressionKind::Text(text)) => {
                        match std::str::from_utf8(&text.bytes).ok().and_then(|text| text.parse::<i64>().ok()) {
                            Some(number) => diagnostic.help(format!("write {number}, without quotes")),
                            None => diagnostic.help("compare it with a number"),
                        }
                    }
                    (Type::Text { .. }, ExpressionKind::Keyword(name)) => diagnostic
                        .note("bare words in upper case are keywords, and this field may hold any text")
                        .help(format!("write \"{name}\"")),
                    (Type::Text { .. } | Type::Keyword { .. }, ExpressionKind::Number(number)) => diagnostic
                        .help(format!("write \"{number}\" to compare the digits, or read the field `as decimal`")),
                    (Type::Address, ExpressionKind::Network(..)) => diagnostic.help("write `in` instead of `==`"),
                    (Type::List(_), _) => {
                        diagnostic.help("say which element: `any LIST.FIELD == ...`, or `count of LIST == ...`")
                    }
                    _ => diagnostic,
                };
                self.diagnostics.push(diagnostic);
                return None;
            }
        };
        Some(Some(constant))
    }

    // A word that is compared with a text: long enough fields and the right octets only (C13).
    fn word(&mut self, typed: &Typed, max: u32, word: &[u8], span: Span) -> Option<Constant> {
        let length = u32::try_from(word.len()).unwrap_or(u32::MAX);
        let shown = shown(word);
        if length > max {
            let mut diagnostic = Diagnostic::error(Code::C13, format!("{shown} can never be read here"))
                .primary(span, format!("{length} octets"));
            if let Some(declared) = typed.found.as_ref().and_then(|found| found.declared) {
                diagnostic = diagnostic.secondary(declared, format!("at most {max}"));
            }
            self.diagnostics.push(diagnostic.help(format!("this field has at most {max} octets; raise its `max`")));
            return None;
        }
        if let Some(found) = &typed.found
            && !self.names.can_be(found.place, word)
        {
            let mut diagnostic = Diagnostic::error(Code::C13, format!("{shown} can never be read here"))
                .primary(span, "has octets that this field never has");
            if let Some(declared) = found.declared {
                diagnostic = diagnostic.secondary(declared, "read here");
            }
            self.diagnostics.push(diagnostic);
            return None;
        }
        Some(Constant::Word(if self.folds(typed) { word.to_ascii_uppercase().into() } else { word.into() }))
    }

    /// Whether letters are the same in any case in this value.
    pub(super) fn folds(&self, typed: &Typed) -> bool {
        matches!(typed.kind, Type::Keyword { .. }) && self.names.keywords_ignore_case()
    }

    /// C21: a test that what is known has decided already.
    pub(super) fn check_decided(
        &mut self,
        typed: &Typed,
        domain: &Domain,
        place: Span,
        span: Span,
        facts: &Facts,
    ) -> Option<()> {
        let by_type = match &typed.kind {
            Type::Number { min, max } => Some(Domain::range(*min, *max)),
            _ => None,
        };
        let learned = typed.subject.and_then(|subject| facts.domain(subject));
        let known = match (by_type, learned) {
            (Some(by_type), Some(learned)) => by_type.intersection(learned),
            (Some(known), None) => known,
            (None, Some(known)) => known.clone(),
            (None, None) => return Some(()),
        };
        if known.intersection(domain).is_empty() {
            let mut diagnostic = Diagnostic::error(Code::C21, "this test can never hold")
                .primary(span, format!("it is {} here", describe_known(&known)));
            if let Some(declared) = typed.found.as_ref().and_then(|found| found.declared) {
                diagnostic = diagnostic.secondary(declared, "read here");
            }
            self.diagnostics.push(diagnostic.help("compare it with a value that it can have, or leave the test away"));
            return None;
        }
        if learned.is_none() && !typed.optional && !typed.fallible && known.is_within(domain) {
            self.diagnostics.push(
                Diagnostic::warning(Code::C21, "this test always holds")
                    .primary(span, format!("it is {} in any case", describe_known(&known)))
                    .secondary(place, "whatever is read"),
            );
        }
        Some(())
    }

    pub(super) fn no_such<T>(&mut self, name: &Name, what: &str, known: &[String]) -> Option<T> {
        let diagnostic = Diagnostic::error(Code::C1, format!("{what} has no name `{name}`")).primary(name.span, "");
        let near = suggest(&name.text, known.iter().map(String::as_str));
        self.diagnostics.push(match near {
            Some(_) => diagnostic.suggest(near),
            None => {
                diagnostic.help(format!("it has: {}", known.iter().take(24).cloned().collect::<Vec<_>>().join(", ")))
            }
        });
        None
    }

    /// The value of a constant on its own, where no field says what a keyword is.
    pub(super) fn lone_constant(&mut self, expression: &Expression) -> Option<Typed> {
        let span = expression.span;
        Some(match &expression.kind {
            ExpressionKind::Number(number) => {
                let number = i64::try_from(*number).unwrap_or(i64::MAX);
                Typed {
                    formula: Formula::Number(number),
                    kind: Type::Number { min: number, max: number },
                    ..constant()
                }
            }
            ExpressionKind::Text(text) => Typed {
                formula: Formula::Bytes(text.bytes.clone().into()),
                kind: Type::Text { max: u32::try_from(text.bytes.len()).unwrap_or(u32::MAX) },
                ..constant()
            },
            ExpressionKind::Address(address) => {
                Typed { formula: Formula::Address(*address), kind: Type::Address, ..constant() }
            }
            ExpressionKind::Keyword(name) => {
                return self.type_error(
                    span,
                    format!("the keyword `{name}` stands alone"),
                    "a keyword is compared with a field, `FIELD == KEYWORD`",
                );
            }
            ExpressionKind::Duration(_) => {
                return self.type_error(
                    span,
                    "a time is no value of a field",
                    "only timeouts and bounds of time have times",
                );
            }
            ExpressionKind::Regex(_) => {
                return self.type_error(span, "a regular expression is no value", "write `FIELD matches /.../`");
            }
            ExpressionKind::Network(..) => {
                return self.type_error(span, "a network is no value", "write `ADDRESS in NETWORK`");
            }
            ExpressionKind::List(_) => {
                return self.type_error(span, "a list is no value here", "write `FIELD in [...]`");
            }
            _ => return self.type_error(span, "this is no value", "a field, a number or a text is needed"),
        })
    }
}

/// A constant of a known type.
#[derive(Clone, Debug)]
pub(super) enum Constant {
    Number(i64),
    Word(Box<[u8]>),
    Boolean(bool),
    Address(std::net::IpAddr),
}

impl Constant {
    pub(super) fn formula(&self) -> Formula {
        match self {
            Constant::Number(number) => Formula::Number(*number),
            Constant::Word(word) => Formula::Bytes(word.clone()),
            Constant::Boolean(value) => Formula::Boolean(*value),
            Constant::Address(address) => Formula::Address(*address),
        }
    }

    pub(super) fn case(&self) -> Option<CaseValue> {
        match self {
            Constant::Number(number) => Some(CaseValue::Range(*number, *number)),
            Constant::Word(word) => Some(CaseValue::Text(word.clone())),
            Constant::Boolean(value) => Some(CaseValue::Range(i64::from(*value), i64::from(*value))),
            Constant::Address(_) => None,
        }
    }
}

pub(super) fn is_constant(expression: &Expression) -> bool {
    match &expression.kind {
        ExpressionKind::Number(_)
        | ExpressionKind::Duration(_)
        | ExpressionKind::Text(_)
        | ExpressionKind::Regex(_)
        | ExpressionKind::Address(_)
        | ExpressionKind::Network(..)
        | ExpressionKind::Boolean(_)
        | ExpressionKind::Keyword(_) => true,
        ExpressionKind::Unary(UnaryOperator::Negate, inner) => matches!(inner.kind, ExpressionKind::Number(_)),
        _ => false,
    }
}

/// `"text"` or a number of octets that is too long to show.
pub(super) fn shown(text: &[u8]) -> String {
    match text.get(..SHOWN_BYTES) {
        Some(start) if text.len() > SHOWN_BYTES => format!("\"{}...\"", start.escape_ascii()),
        _ => format!("\"{}\"", text.escape_ascii()),
    }
}

fn single_name(expression: &Expression) -> Option<&Name> {
    match &expression.kind {
        ExpressionKind::Name(name) => Some(name),
        _ => None,
    }
}

fn mirrored(operator: Comparison) -> Comparison {
    match operator {
        Comparison::Equal => Comparison::Equal,
        Comparison::NotEqual => Comparison::NotEqual,
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
    }
}

fn number_domain(operator: Comparison, number: i64) -> Domain {
    match operator {
        Comparison::Equal => Domain::range(number, number),
        Comparison::NotEqual => Domain::range(number, number).complement(),
        Comparison::Less => number.checked_sub(1).map_or(Domain::numbers(vec![]), |high| Domain::range(i64::MIN, high)),
        Comparison::LessOrEqual => Domain::range(i64::MIN, number),
        Comparison::Greater => {
            number.checked_add(1).map_or(Domain::numbers(vec![]), |low| Domain::range(low, i64::MAX))
        }
        Comparison::GreaterOrEqual => Domain::range(number, i64::MAX),
    }
}

fn describe_known(known: &Domain) -> String {
    match known {
        Domain::Numbers(ranges) => match ranges.as_slice() {
            [only] => describe_range(*only),
            _ => known.describe(),
        },
        Domain::Words { .. } => known.describe(),
    }
}

fn mismatch(kind: &Type, constant: &ExpressionKind) -> String {
    let wanted = match kind {
        Type::Number { .. } | Type::Enumeration(_) => "a number",
        Type::Text { .. } => "text",
        Type::Keyword { .. } => "a keyword",
        Type::Boolean => "a truth value",
        Type::Address => "an address",
        Type::Group => "a group of fields",
        Type::List(_) => "a list",
    };
    format!("{wanted} is compared with {}", describe_constant(constant))
}

fn describe_constant(constant: &ExpressionKind) -> &'static str {
    match constant {
        ExpressionKind::Number(_) | ExpressionKind::Unary(..) => "a number",
        ExpressionKind::Duration(_) => "a time",
        ExpressionKind::Text(_) => "text",
        ExpressionKind::Regex(_) => "a regular expression",
        ExpressionKind::Address(_) => "an address",
        ExpressionKind::Network(..) => "a network",
        ExpressionKind::Boolean(_) => "a truth value",
        ExpressionKind::Keyword(_) => "a keyword",
        _ => "something else",
    }
}
