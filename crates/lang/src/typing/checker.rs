//! The checker: conditions, and what they teach.

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::expression::{
    BinaryOperator, Expression, ExpressionKind, Quantifier, Template, TemplatePart, UnaryOperator,
};
use crate::formula::{Comparison, Formula};
use crate::scheme::Type;
use crate::source::Span;

use super::domain::{Domain, describe_range};
use super::facts::{Facts, Subject};
use super::names::{Found, Names};

/// Checks expressions against names and what is known.
///
/// Every method that returns an `Option` has said why if it returns nothing, and has looked at the whole expression.
pub struct Checker<'a> {
    pub(super) names: &'a dyn Names,
    pub(super) diagnostics: &'a mut Diagnostics,
    pub(super) subject: Option<Typed>,
}

/// An expression with its type.
#[derive(Clone, Debug)]
pub struct Typed {
    /// What is evaluated.
    pub formula: Formula,
    /// What it yields. Numbers have the range that is known here.
    pub kind: Type,
    /// Whether it may yield nothing because a part may not be there.
    pub optional: bool,
    /// Whether it may yield nothing because a text may be no number. Tests of it then fail, and that is what is meant.
    pub fallible: bool,
    /// What can be learned about, if it is a field.
    pub subject: Option<Subject>,
    /// The field, if it is one (of one variant).
    pub found: Option<Found>,
}

/// A piece of a template.
#[derive(Clone, Debug)]
pub enum Piece {
    /// As it stands.
    Text(Vec<u8>),
    /// A value; absent ones are shown as `-`.
    Value(Formula),
}

/// What is done about a field that may be absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// It is an error (C10).
    Refused,
    /// It is an error in another variant; an optional part may be absent.
    Parts,
    /// It is what is asked about.
    Allowed,
}

/// A condition and what is known if it holds, and if it does not.
pub(super) struct Tested {
    pub(super) formula: Formula,
    pub(super) holds: Facts,
    pub(super) fails: Facts,
}

impl<'a> Checker<'a> {
    /// Makes a checker that reports to `diagnostics`.
    pub fn new(names: &'a dyn Names, diagnostics: &'a mut Diagnostics) -> Checker<'a> {
        Checker { names, diagnostics, subject: None }
    }

    /// Says what a test without a subject of its own is about (`must be 0`, `contains "x"` on a stream).
    #[must_use]
    pub fn about(mut self, subject: Typed) -> Checker<'a> {
        self.subject = Some(subject);
        self
    }

    /// Checks a condition. Afterwards `facts` are what is known where it holds.
    pub fn condition(&mut self, expression: &Expression, facts: &mut Facts) -> Option<Formula> {
        let tested = self.test(expression, facts)?;
        *facts = tested.holds;
        Some(tested.formula)
    }

    /// Checks a condition and returns, beside it, what is known where it holds and where it does not.
    pub fn decision(&mut self, expression: &Expression, facts: &Facts) -> Option<(Formula, Facts, Facts)> {
        let tested = self.test(expression, facts)?;
        Some((tested.formula, tested.holds, tested.fails))
    }

    /// Checks a value. A condition as a value is a truth value.
    pub fn value(&mut self, expression: &Expression, facts: &Facts, absence: Absence) -> Option<Typed> {
        if is_condition(&expression.kind) {
            let tested = self.test(expression, facts)?;
            return Some(Typed { formula: tested.formula, kind: Type::Boolean, ..constant() });
        }
        self.operand(expression, facts, absence)
    }

    /// Checks a size, count or offset: a number that is never negative (C9).
    pub fn size(&mut self, expression: &Expression, facts: &Facts) -> Option<Typed> {
        let typed = self.value(expression, facts, Absence::Refused)?;
        let (min, max) = self.number_of(&typed, expression.span)?;
        if min < 0 {
            let mut diagnostic = Diagnostic::error(Code::C9, "this size can be negative")
                .primary(expression.span, describe_range((min, max)));
            diagnostic = self.explain_range(diagnostic, expression, facts);
            self.diagnostics.push(diagnostic.help(
                "say how small the numbers can be, for example `must be >= 2` behind the field they are read from",
            ));
            return None;
        }
        Some(typed)
    }

    /// Checks the values in a template.
    pub fn template(&mut self, template: &Template, facts: &Facts) -> Option<Vec<Piece>> {
        let mut pieces = Some(Vec::new());
        for part in &template.parts {
            let piece = match part {
                TemplatePart::Text(text) => Some(Piece::Text(text.clone())),
                TemplatePart::Value(expression) => {
                    self.value(expression, facts, Absence::Parts).map(|typed| Piece::Value(typed.formula))
                }
            };
            match (piece, &mut pieces) {
                (Some(piece), Some(all)) => all.push(piece),
                _ => pieces = None,
            }
        }
        pieces
    }

    pub(super) fn test(&mut self, expression: &Expression, facts: &Facts) -> Option<Tested> {
        let span = expression.span;
        match &expression.kind {
            ExpressionKind::Boolean(value) => Some(undecided(Formula::Boolean(*value), facts)),
            ExpressionKind::Unary(UnaryOperator::Not, inner) => {
                let tested = self.test(inner, facts)?;
                Some(Tested {
                    formula: Formula::Not(Box::new(tested.formula)),
                    holds: tested.fails,
                    fails: tested.holds,
                })
            }
            ExpressionKind::Binary(BinaryOperator::And, left, right) => {
                let left = self.test(left, facts);
                let right = self.test(right, left.as_ref().map_or(facts, |left| &left.holds));
                let (left, right) = (left?, right?);
                Some(Tested {
                    fails: left.fails.either(&right.fails),
                    holds: right.holds,
                    formula: Formula::And(flatten(left.formula, right.formula, |formula| match formula {
                        Formula::And(parts) => Ok(parts),
                        other => Err(other),
                    })),
                })
            }
            ExpressionKind::Binary(BinaryOperator::Or, left, right) => {
                let left = self.test(left, facts);
                let right = self.test(right, left.as_ref().map_or(facts, |left| &left.fails));
                let (left, right) = (left?, right?);
                Some(Tested {
                    holds: left.holds.either(&right.holds),
                    fails: right.fails,
                    formula: Formula::Or(flatten(left.formula, right.formula, |formula| match formula {
                        Formula::Or(parts) => Ok(parts),
                        other => Err(other),
                    })),
                })
            }
            ExpressionKind::Binary(operator, left, right) => match comparison(*operator) {
                Some(operator) => self.compare(operator, left, right, span, facts),
                None => self.truth(expression, facts),
            },
            ExpressionKind::In(value, set) => self.member(value, set, span, facts),
            ExpressionKind::TextTest { operator, value, quantifier, pattern } => {
                self.text_test(*operator, value, *quantifier, pattern, facts)
            }
            ExpressionKind::Matches(value, pattern) => self.matches(value, pattern, facts),
            ExpressionKind::Is(value, pattern) => self.is(value, pattern, span, facts),
            ExpressionKind::IsEmpty(value) => self.is_empty(value, facts),
            ExpressionKind::Has(..) => self.not_supported(span, "`has`, which looks into tables,"),
            ExpressionKind::HasSeveral(..) => self.not_supported(span, "`has several`, which looks into tables,"),
            ExpressionKind::Quantified { quantifier, path, test } => self.quantified(*quantifier, path, test, facts),
            _ => self.truth(expression, facts),
        }
    }

    // A value as a condition: it is there, and not false.
    fn truth(&mut self, expression: &Expression, facts: &Facts) -> Option<Tested> {
        let typed = self.operand(expression, facts, Absence::Allowed)?;
        let span = expression.span;
        if let Type::Number { min: 0, max: 1 } = typed.kind {
            // A bit is a truth value on the wire.
            let zero = super::compare::Constant::Number(0);
            return self.compare_constant(Comparison::NotEqual, typed, &zero, span, span, facts);
        }
        let sure = !typed.optional && !typed.fallible && self.is_sure(&typed, facts);
        if sure && !matches!(typed.kind, Type::Boolean) {
            let (what, help) = match &typed.kind {
                Type::Number { .. } | Type::Enumeration(_) => ("a number", "compare it, for example `!= 0`"),
                Type::Text { .. } | Type::Keyword { .. } => {
                    ("text", "say what it has to be, for example `not (... is empty)`")
                }
                Type::List(_) => ("a list", "ask for its elements, for example `count of ... > 0`"),
                Type::Address => ("an address", "compare it with an address or `in` a network"),
                _ => ("a group of fields", "name one of its fields"),
            };
            let diagnostic = Diagnostic::error(Code::C11, "this is no condition")
                .primary(span, format!("{what} that is always there"))
                .help(help);
            self.diagnostics.push(diagnostic);
            return None;
        }
        let (mut holds, fails) = (facts.clone(), facts.clone());
        if let Some(subject) = typed.subject {
            match &typed.found {
                Some(found) => holds.learn_found(subject, found),
                None => holds.learn_present(subject),
            }
        }
        Some(Tested { formula: typed.formula, holds, fails })
    }

    fn quantified(
        &mut self,
        quantifier: Quantifier,
        path: &Expression,
        test: &Expression,
        facts: &Facts,
    ) -> Option<Tested> {
        let element = self.element(path, quantifier == Quantifier::Any)?;
        let outer = self.subject.replace(element.subject);
        let tested = self.test(test, facts);
        self.subject = outer;
        let test = Box::new(tested?.formula);
        Some(undecided(
            match quantifier {
                Quantifier::Any => Formula::Any { list: element.list, test },
                Quantifier::All => Formula::Every { list: element.list, test },
            },
            facts,
        ))
    }

    pub(super) fn not_supported<T>(&mut self, span: Span, what: &str) -> Option<T> {
        self.diagnostics.push(
            Diagnostic::error(Code::S6, format!("{what} is not supported yet"))
                .primary(span, "part of the language, and not of this version"),
        );
        None
    }

    pub(super) fn type_error<T>(
        &mut self,
        span: Span,
        title: impl Into<String>,
        label: impl Into<String>,
    ) -> Option<T> {
        self.diagnostics.push(Diagnostic::error(Code::C11, title).primary(span, label));
        None
    }

    /// The bounds of a number.
    pub(super) fn number_of(&mut self, typed: &Typed, span: Span) -> Option<(i64, i64)> {
        match &typed.kind {
            Type::Number { min, max } => Some((*min, *max)),
            Type::Enumeration(_) => Some((0, i64::MAX)),
            other => {
                let label = other.describe();
                self.type_error(span, "a number is needed here", label)
            }
        }
    }

    // The ranges of the fields in an expression, as labels.
    pub(super) fn explain_range(
        &mut self,
        mut diagnostic: Diagnostic,
        expression: &Expression,
        facts: &Facts,
    ) -> Diagnostic {
        let mut fields = Vec::new();
        fields_in(expression, &mut fields);
        // Their own messages were given when the expression was checked.
        let mut silent = Diagnostics::new();
        let mut checker = Checker { names: self.names, diagnostics: &mut silent, subject: self.subject.clone() };
        for field in fields {
            let Some(typed) = checker.operand(field, facts, Absence::Allowed) else { continue };
            if let (Type::Number { min, max }, Some(declared)) = (&typed.kind, typed.found.and_then(|f| f.declared)) {
                diagnostic = diagnostic.secondary(declared, describe_range((*min, *max)));
            }
        }
        diagnostic
    }

    // Whether the field behind a value is known to be there.
    pub(super) fn is_sure(&self, typed: &Typed, facts: &Facts) -> bool {
        match (&typed.subject, &typed.found) {
            (Some(subject), Some(found)) => {
                facts.is_present(*subject) || found.presence.iter().all(|presence| facts.implies(*subject, presence))
            }
            _ => true,
        }
    }
}

/// What is known stays as it is, whether or not this holds.
pub(super) fn undecided(formula: Formula, facts: &Facts) -> Tested {
    Tested { formula, holds: facts.clone(), fails: facts.clone() }
}

/// Learns that a field is in a domain if a test holds and out of it if it fails.
pub(super) fn decided(formula: Formula, typed: &Typed, domain: Option<&Domain>, facts: &Facts) -> Tested {
    let mut tested = undecided(formula, facts);
    if let Some(subject) = typed.subject {
        match &typed.found {
            Some(found) => tested.holds.learn_found(subject, found),
            None => tested.holds.learn_present(subject),
        }
        if let Some(domain) = domain {
            tested.holds.learn_domain(subject, domain);
            tested.fails.learn_domain(subject, &domain.complement());
        }
    }
    tested
}

/// A constant to be completed with its formula and kind.
pub(super) fn constant() -> Typed {
    Typed {
        formula: Formula::Boolean(true),
        kind: Type::Boolean,
        optional: false,
        fallible: false,
        subject: None,
        found: None,
    }
}

fn comparison(operator: BinaryOperator) -> Option<Comparison> {
    Some(match operator {
        BinaryOperator::Equal => Comparison::Equal,
        BinaryOperator::NotEqual => Comparison::NotEqual,
        BinaryOperator::Less => Comparison::Less,
        BinaryOperator::LessOrEqual => Comparison::LessOrEqual,
        BinaryOperator::Greater => Comparison::Greater,
        BinaryOperator::GreaterOrEqual => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn is_condition(kind: &ExpressionKind) -> bool {
    match kind {
        ExpressionKind::Boolean(_)
        | ExpressionKind::Unary(UnaryOperator::Not, _)
        | ExpressionKind::In(..)
        | ExpressionKind::TextTest { .. }
        | ExpressionKind::Matches(..)
        | ExpressionKind::Is(..)
        | ExpressionKind::IsEmpty(_)
        | ExpressionKind::Has(..)
        | ExpressionKind::HasSeveral(..)
        | ExpressionKind::Quantified { .. } => true,
        ExpressionKind::Binary(operator, ..) => {
            comparison(*operator).is_some() || matches!(operator, BinaryOperator::And | BinaryOperator::Or)
        }
        _ => false,
    }
}

fn flatten(left: Formula, right: Formula, parts: fn(Formula) -> Result<Vec<Formula>, Formula>) -> Vec<Formula> {
    let mut all = parts(left).unwrap_or_else(|single| vec![single]);
    all.extend(parts(right).unwrap_or_else(|single| vec![single]));
    all
}

fn fields_in<'e>(expression: &'e Expression, fields: &mut Vec<&'e Expression>) {
    match &expression.kind {
        ExpressionKind::Name(_) | ExpressionKind::Field(..) | ExpressionKind::Subject => fields.push(expression),
        ExpressionKind::Unary(_, inner) => fields_in(inner, fields),
        ExpressionKind::Binary(_, left, right) => {
            fields_in(left, fields);
            fields_in(right, fields);
        }
        _ => {}
    }
}
