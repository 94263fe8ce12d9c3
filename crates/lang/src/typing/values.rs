//! Values: fields, arithmetic and what is made of texts.

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::expression::{BinaryOperator, Expression, ExpressionKind, Name, Occurrence, UnaryOperator};
use crate::formula::{Arithmetic, Formula};
use crate::scheme::Type;
use crate::source::Span;

use super::checker::{Absence, Checker, Typed, constant};
use super::facts::Facts;
use super::paths::path_of;

impl Checker<'_> {
    /// A value that is no condition.
    pub(super) fn operand(&mut self, expression: &Expression, facts: &Facts, absence: Absence) -> Option<Typed> {
        let span = expression.span;
        match &expression.kind {
            ExpressionKind::Name(_) | ExpressionKind::Field(..) => match path_of(expression) {
                Some(path) => self.field(&path, span, facts, absence),
                None => self.type_error(span, "this has no fields", "only records and groups have"),
            },
            ExpressionKind::Subject => match self.subject.clone() {
                Some(mut subject) => {
                    // What was learned of it since narrows its range.
                    if let (Type::Number { min, max }, Some(about)) = (&mut subject.kind, subject.subject) {
                        (*min, *max) = facts.range(about, (*min, *max));
                    }
                    Some(subject)
                }
                None => self.type_error(span, "this test says nothing about what it tests", "put a field before it"),
            },
            ExpressionKind::Unary(operator, inner) => self.unary(*operator, inner, span, facts, absence),
            ExpressionKind::Binary(operator, left, right) => self.binary(*operator, left, right, span, facts, absence),
            ExpressionKind::Index(..) => self.not_supported(span, "looking into a table by key"),
            ExpressionKind::Before(text, occurrence, needle) => {
                self.split(text, *occurrence, needle, false, facts, absence)
            }
            ExpressionKind::After(text, occurrence, needle) => {
                self.split(text, *occurrence, needle, true, facts, absence)
            }
            ExpressionKind::Join(list, separator) => self.join(list, separator),
            ExpressionKind::List(_) => self.type_error(
                span,
                "several values are not one",
                "something can be `in` them, or contain `any` of them",
            ),
            ExpressionKind::As { value, conversion, default } => {
                self.convert(value, conversion, default.as_deref(), facts, absence)
            }
            _ => match super::compare::is_constant(expression) {
                true => self.lone_constant(expression),
                false => {
                    let tested = self.test(expression, facts)?;
                    Some(Typed { formula: tested.formula, kind: Type::Boolean, ..constant() })
                }
            },
        }
    }

    fn unary(
        &mut self,
        operator: UnaryOperator,
        inner: &Expression,
        span: Span,
        facts: &Facts,
        absence: Absence,
    ) -> Option<Typed> {
        if operator == UnaryOperator::CountOf {
            let found = self.list(inner)?;
            let kind = Type::Number { min: 0, max: i64::from(u32::MAX) };
            return Some(Typed { formula: Formula::Count(found.place), kind, ..constant() });
        }
        let typed = self.value(inner, facts, absence)?;
        let formula = Box::new(typed.formula.clone());
        let from = (typed.optional, typed.fallible);
        match operator {
            UnaryOperator::Not | UnaryOperator::CountOf => {
                let tested = self.test(inner, facts)?;
                Some(Typed { formula: Formula::Not(Box::new(tested.formula)), kind: Type::Boolean, ..constant() })
            }
            UnaryOperator::Negate => {
                let (min, max) = self.number_of(&typed, inner.span)?;
                let range = (max.checked_neg(), min.checked_neg());
                let (Some(min), Some(max)) = range else { return self.overflow(inner, span, facts) };
                let formula = match *formula {
                    Formula::Number(number) => Formula::Number(number.saturating_neg()),
                    right => Formula::Arithmetic {
                        operator: Arithmetic::Subtract,
                        left: Box::new(Formula::Number(0)),
                        right: Box::new(right),
                    },
                };
                Some(Typed { formula, kind: Type::Number { min, max }, ..made_of(from) })
            }
            UnaryOperator::LengthOf => {
                if matches!(typed.kind, Type::List(_)) {
                    let label = "write `count of` for the number of its elements";
                    return self.type_error(inner.span, "a list has no length", label);
                }
                let max = self.text_of(&typed, inner.span)?;
                let kind = Type::Number { min: 0, max: i64::from(max) };
                Some(Typed { formula: Formula::Length(formula), kind, ..made_of(from) })
            }
            UnaryOperator::Lowercase | UnaryOperator::Uppercase | UnaryOperator::Trimmed => {
                let max = self.text_of(&typed, inner.span)?;
                let formula = match operator {
                    UnaryOperator::Lowercase => Formula::Lowercase(formula),
                    UnaryOperator::Uppercase => Formula::Uppercase(formula),
                    _ => Formula::Trimmed(formula),
                };
                // A keyword stays one, unless its case now matters.
                let kind = match (operator, &typed.kind) {
                    (UnaryOperator::Trimmed, Type::Keyword { .. }) => typed.kind.clone(),
                    _ => Type::Text { max },
                };
                Some(Typed { formula, kind, ..made_of(from) })
            }
        }
    }

    fn binary(
        &mut self,
        operator: BinaryOperator,
        left: &Expression,
        right: &Expression,
        span: Span,
        facts: &Facts,
        absence: Absence,
    ) -> Option<Typed> {
        let arithmetic = match operator {
            BinaryOperator::Add => Arithmetic::Add,
            BinaryOperator::Subtract => Arithmetic::Subtract,
            BinaryOperator::Multiply => Arithmetic::Multiply,
            BinaryOperator::BitAnd => Arithmetic::And,
            BinaryOperator::ShiftLeft => Arithmetic::ShiftLeft,
            BinaryOperator::ShiftRight => Arithmetic::ShiftRight,
            _ => {
                let whole = Expression {
                    kind: ExpressionKind::Binary(operator, Box::new(left.clone()), Box::new(right.clone())),
                    span,
                };
                let tested = self.test(&whole, facts)?;
                return Some(Typed { formula: tested.formula, kind: Type::Boolean, ..constant() });
            }
        };
        let left_typed = self.value(left, facts, absence);
        let right_typed = self.value(right, facts, absence);
        let (left_typed, right_typed) = (left_typed?, right_typed?);
        let from = (left_typed.optional || right_typed.optional, left_typed.fallible || right_typed.fallible);
        let is_text = |typed: &Typed| matches!(typed.kind, Type::Text { .. } | Type::Keyword { .. });
        if arithmetic == Arithmetic::Add && is_text(&left_typed) {
            let (first, second) = (self.text_of(&left_typed, left.span)?, self.text_of(&right_typed, right.span)?);
            let mut parts = match left_typed.formula {
                Formula::Concatenate(parts) => parts,
                other => vec![other],
            };
            parts.push(right_typed.formula);
            let kind = Type::Text { max: first.saturating_add(second) };
            return Some(Typed { formula: Formula::Concatenate(parts), kind, ..made_of(from) });
        }
        let (a, b) = (self.number_of(&left_typed, left.span)?, self.number_of(&right_typed, right.span)?);
        let range = match arithmetic {
            Arithmetic::Add => a.0.checked_add(b.0).zip(a.1.checked_add(b.1)),
            Arithmetic::Subtract => a.0.checked_sub(b.1).zip(a.1.checked_sub(b.0)),
            Arithmetic::Multiply => products(a, b),
            Arithmetic::ShiftLeft => {
                self.check_shift(right, b)?;
                let factor = |bits: i64| u32::try_from(bits).ok().and_then(|bits| 1i64.checked_shl(bits));
                match (factor(b.0), factor(b.1)) {
                    (Some(low), Some(high)) if high > 0 => products(a, (low, high)),
                    _ => None,
                }
            }
            Arithmetic::ShiftRight => {
                self.check_shift(right, b)?;
                let bits = |bits: i64| u32::try_from(bits).unwrap_or(63).min(63);
                let ends = [a.0 >> bits(b.0), a.0 >> bits(b.1), a.1 >> bits(b.0), a.1 >> bits(b.1)];
                ends.iter().min().copied().zip(ends.iter().max().copied())
            }
            // Without a sign on either side no more than the smaller of both remains.
            Arithmetic::And if a.0 >= 0 && b.0 >= 0 => Some((0, a.1.min(b.1))),
            Arithmetic::And if a.0 >= 0 => Some((0, a.1)),
            Arithmetic::And if b.0 >= 0 => Some((0, b.1)),
            _ => Some((i64::MIN, i64::MAX)),
        };
        let Some((min, max)) = range else {
            let whole = Expression {
                kind: ExpressionKind::Binary(operator, Box::new(left.clone()), Box::new(right.clone())),
                span,
            };
            return self.overflow(&whole, span, facts);
        };
        let formula = Formula::Arithmetic {
            operator: arithmetic,
            left: Box::new(left_typed.formula),
            right: Box::new(right_typed.formula),
        };
        Some(Typed { formula, kind: Type::Number { min, max }, ..made_of(from) })
    }

    fn check_shift(&mut self, right: &Expression, bits: (i64, i64)) -> Option<()> {
        if bits.0 < 0 || bits.1 > 63 {
            let diagnostic = Diagnostic::error(Code::C9, "a number is shifted by 0 to 63 bits")
                .primary(right.span, super::domain::describe_range(bits));
            self.diagnostics.push(diagnostic);
            return None;
        }
        Some(())
    }

    fn overflow<T>(&mut self, expression: &Expression, span: Span, facts: &Facts) -> Option<T> {
        let diagnostic =
            Diagnostic::error(Code::C9, "this number can leave 64 bits").primary(span, "the result does not fit");
        let diagnostic = self.explain_range(diagnostic, expression, facts);
        self.diagnostics.push(diagnostic.help("say how large the numbers can be, with a `must` where they are read"));
        None
    }

    fn split(
        &mut self,
        text: &Expression,
        occurrence: Occurrence,
        needle: &Expression,
        after: bool,
        facts: &Facts,
        absence: Absence,
    ) -> Option<Typed> {
        let typed = self.value(text, facts, absence)?;
        let max = self.text_of(&typed, text.span)?;
        let ExpressionKind::Text(found) = &needle.kind else {
            return self.type_error(needle.span, "a text in quotes is needed here", "what the text is cut at");
        };
        if found.bytes.is_empty() {
            let diagnostic = Diagnostic::error(Code::C21, "a text cannot be cut at nothing");
            self.diagnostics.push(diagnostic.primary(needle.span, "an empty text"));
            return None;
        }
        let formula = Formula::Split {
            text: Box::new(typed.formula),
            needle: found.bytes.clone().into(),
            last: occurrence == Occurrence::Last,
            after,
        };
        Some(Typed { formula, kind: Type::Text { max }, ..made_of((typed.optional, typed.fallible)) })
    }

    fn join(&mut self, list: &Expression, separator: &Expression) -> Option<Typed> {
        let element = self.element(list, true)?;
        self.text_of(&element.subject, list.span)?;
        let ExpressionKind::Text(separator) = &separator.kind else {
            return self.type_error(separator.span, "a text in quotes is needed here", "what comes between");
        };
        let formula =
            Formula::Join { list: element.list, slot: element.slot, separator: separator.bytes.clone().into() };
        Some(Typed { formula, kind: Type::Text { max: u32::MAX }, ..constant() })
    }

    fn convert(
        &mut self,
        value: &Expression,
        conversion: &Name,
        default: Option<&Expression>,
        facts: &Facts,
        absence: Absence,
    ) -> Option<Typed> {
        match conversion.text.as_str() {
            "decimal" | "number" => {
                if let Some(default) = default {
                    return self.not_supported(default.span, "a default");
                }
                let typed = self.value(value, facts, absence)?;
                let octets = self.text_of(&typed, value.span)?;
                let max = 10i64.checked_pow(octets).map_or(i64::MAX, |power| power.saturating_sub(1));
                // What is no number is absent, and every test of it fails.
                Some(Typed {
                    formula: Formula::Decimal(Box::new(typed.formula)),
                    kind: Type::Number { min: 0, max },
                    ..made_of((typed.optional, true))
                })
            }
            "hex" | "list" | "parameters" | "seconds" | "utf8" | "address" | "base64" => {
                self.not_supported(conversion.span, &format!("`as {conversion}`"))
            }
            _ => {
                let known = ["decimal", "number"].map(String::from);
                self.no_such(conversion, "the language", &known)
            }
        }
    }
}

fn products(a: (i64, i64), b: (i64, i64)) -> Option<(i64, i64)> {
    let ends = [a.0.checked_mul(b.0)?, a.0.checked_mul(b.1)?, a.1.checked_mul(b.0)?, a.1.checked_mul(b.1)?];
    ends.iter().min().copied().zip(ends.iter().max().copied())
}

/// A value that is absent where what it is made of is.
fn made_of((optional, fallible): (bool, bool)) -> Typed {
    Typed { optional, fallible, ..constant() }
}
