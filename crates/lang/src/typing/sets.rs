//! Tests of membership and of what a text has in it.

use std::net::IpAddr;

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::expression::{Expression, ExpressionKind, Member, Quantifier, Set, Text, TextOperator};
use crate::formula::{Comparison, Formula, Position};
use crate::needles::Needles;
use crate::scheme::{CaseValue, Type};
use crate::source::Span;

use super::checker::{Absence, Checker, Tested, Typed, decided, undecided};
use super::compare::shown;
use super::domain::Domain;
use super::facts::Facts;
use super::names::NamedSet;

/// Most memory that one regular expression may take once it is compiled, in octets.
const MAX_REGEX_BYTES: usize = 1 << 20;

impl Checker<'_> {
    pub(super) fn member(&mut self, value: &Expression, set: &Set, span: Span, facts: &Facts) -> Option<Tested> {
        let typed = self.value(value, facts, Absence::Refused)?;
        match set {
            Set::Members(members) => self.in_members(typed, value.span, members, span, facts),
            Set::Of(of) => match &of.kind {
                ExpressionKind::List(entries) => {
                    let members: Vec<Member> = entries.iter().cloned().map(Member::Value).collect();
                    self.in_members(typed, value.span, &members, span, facts)
                }
                ExpressionKind::Network(..) => {
                    self.in_members(typed, value.span, &[Member::Value(of.as_ref().clone())], span, facts)
                }
                _ => match self.named_set(of) {
                    Some(named) => {
                        let fits = match named {
                            NamedSet::Texts(_) => matches!(typed.kind, Type::Text { .. } | Type::Keyword { .. }),
                            NamedSet::Networks(_) => matches!(typed.kind, Type::Address),
                        };
                        if !fits {
                            let what = match named {
                                NamedSet::Texts(_) => "a list of texts",
                                NamedSet::Networks(_) => "networks, which have addresses in them",
                            };
                            self.diagnostics.push(
                                Diagnostic::error(Code::C11, "this can never be in that set")
                                    .primary(value.span, typed.kind.describe())
                                    .secondary(of.span, what),
                            );
                            return None;
                        }
                        Some(decided(named.contains(typed.formula.clone()), &typed, None, facts))
                    }
                    None => {
                        // A field on the right: say what it is, or that it is unknown.
                        self.operand(of, facts, Absence::Allowed)?;
                        self.type_error(
                            of.span,
                            "this is no set",
                            "a list, a network or values in brackets are needed behind `in`",
                        )
                    }
                },
            },
        }
    }

    fn in_members(
        &mut self,
        typed: Typed,
        place: Span,
        members: &[Member],
        span: Span,
        facts: &Facts,
    ) -> Option<Tested> {
        if matches!(typed.kind, Type::Address) {
            return self.in_networks(typed, members, facts);
        }
        let set = self.cases(&typed, place, members)?;
        let fold = self.folds(&typed);
        let domain = Domain::of_cases(&set);
        if let Some(domain) = &domain {
            self.check_decided(&typed, domain, place, span, facts)?;
        }
        let formula = Formula::In { value: Box::new(typed.formula.clone()), set, fold };
        Some(decided(formula, &typed, domain.as_ref(), facts))
    }

    /// Values of branches and sets, in the type of what is compared. Keywords come in upper case if case is ignored.
    pub fn cases(&mut self, typed: &Typed, place: Span, members: &[Member]) -> Option<Vec<CaseValue>> {
        let mut set: Option<Vec<CaseValue>> = Some(Vec::new());
        for member in members {
            let case = match member {
                Member::Value(value) => self.constant_case(typed, place, value),
                Member::Range(low, high) => {
                    let low_case = self.constant_case(typed, place, low);
                    let high_case = self.constant_case(typed, place, high);
                    match (low_case, high_case) {
                        (Some(CaseValue::Range(from, _)), Some(CaseValue::Range(to, _))) if from <= to => {
                            Some(CaseValue::Range(from, to))
                        }
                        (Some(CaseValue::Range(..)), Some(CaseValue::Range(..))) => {
                            let span = low.span.to(high.span);
                            self.diagnostics.push(
                                Diagnostic::error(Code::C21, "this range has no values")
                                    .primary(span, "the second number is less than the first"),
                            );
                            None
                        }
                        (Some(_), Some(_)) => self.type_error(low.span.to(high.span), "only numbers have ranges", ""),
                        _ => None,
                    }
                }
            };
            match (case, &mut set) {
                (Some(case), Some(set)) if set.contains(&case) => {
                    let span = match member {
                        Member::Value(value) => value.span,
                        Member::Range(low, high) => low.span.to(high.span),
                    };
                    let diagnostic = Diagnostic::warning(Code::C21, "this value stands here twice");
                    self.diagnostics.push(diagnostic.primary(span, "the second one does nothing"));
                }
                (Some(case), Some(set)) => set.push(case),
                _ => set = None,
            }
        }
        set
    }

    fn constant_case(&mut self, typed: &Typed, place: Span, value: &Expression) -> Option<CaseValue> {
        match self.case(typed, place, value)? {
            Some(constant) => match constant.case() {
                Some(case) => Some(case),
                None => self.type_error(value.span, "an address is no value of a branch", "use `in` networks"),
            },
            None => {
                if let (ExpressionKind::Name(name), Type::Enumeration(enumeration)) = (&value.kind, &typed.kind) {
                    let members: Vec<String> = enumeration.members.iter().map(|member| member.0.clone()).collect();
                    return self.no_such(name, &format!("`{}`", enumeration.name), &members);
                }
                self.type_error(value.span, "a constant is needed here", "this depends on what is read")
            }
        }
    }

    fn in_networks(&mut self, typed: Typed, members: &[Member], facts: &Facts) -> Option<Tested> {
        let mut networks = Vec::new();
        for member in members {
            let network = match member {
                Member::Value(Expression { kind: ExpressionKind::Address(address), .. }) => {
                    (*address, if address.is_ipv4() { 32 } else { 128 })
                }
                Member::Value(Expression { kind: ExpressionKind::Network(address, prefix), .. }) => (*address, *prefix),
                Member::Value(other) => return self.type_error(other.span, "an address is in networks", "not in this"),
                Member::Range(low, high) => {
                    let span = low.span.to(high.span);
                    return self.type_error(span, "addresses have no ranges", "write it as networks");
                }
            };
            networks.push(network);
        }
        let formula = Formula::InNetworks { value: Box::new(typed.formula.clone()), networks };
        Some(decided(formula, &typed, None, facts))
    }

    pub(super) fn text_test(
        &mut self,
        operator: TextOperator,
        value: &Expression,
        quantifier: Option<Quantifier>,
        pattern: &Expression,
        facts: &Facts,
    ) -> Option<Tested> {
        let typed = self.value(value, facts, Absence::Refused)?;
        self.text_of(&typed, value.span)?;
        let position = match operator {
            TextOperator::Contains => Position::Anywhere,
            TextOperator::StartsWith => Position::Start,
            TextOperator::EndsWith => Position::End,
        };
        let mut fold = self.folds(&typed);
        let needles: Vec<Box<[u8]>> = match &pattern.kind {
            ExpressionKind::Text(text) => vec![self.needle(&typed, text)?],
            ExpressionKind::Keyword(name) if matches!(typed.kind, Type::Keyword { .. }) => {
                vec![name.text.as_bytes().into()]
            }
            ExpressionKind::List(entries) => {
                let mut needles = Vec::new();
                for entry in entries {
                    match &entry.kind {
                        ExpressionKind::Text(text) => needles.push(self.needle(&typed, text)?),
                        _ => return self.type_error(entry.span, "only texts are found in a text", "this is none"),
                    }
                }
                needles
            }
            _ => match self.named_set(pattern) {
                Some(NamedSet::Texts(entries)) => {
                    fold = true;
                    entries.entries()
                }
                Some(NamedSet::Networks(_)) => {
                    return self.type_error(pattern.span, "only texts are found in a text", "these are networks");
                }
                None => {
                    let other = self.operand(pattern, facts, Absence::Refused)?;
                    self.text_of(&other, pattern.span)?;
                    return self.not_supported(pattern.span, "looking for the text of a field in another");
                }
            },
        };
        let text = Box::new(typed.formula.clone());
        let formula = match quantifier {
            Some(Quantifier::All) => Formula::And(
                needles
                    .into_iter()
                    .map(|needle| {
                        let needles = Needles::new(vec![needle], fold);
                        Formula::Finds { position, text: text.clone(), needles }
                    })
                    .collect(),
            ),
            _ => Formula::Finds { position, text, needles: Needles::new(needles, fold) },
        };
        Some(decided(formula, &typed, None, facts))
    }

    fn needle(&mut self, typed: &Typed, text: &Text) -> Option<Box<[u8]>> {
        if text.bytes.is_empty() {
            let diagnostic = Diagnostic::error(Code::C21, "every text has an empty text in it");
            self.diagnostics.push(diagnostic.primary(text.span, "this test always holds"));
            return None;
        }
        let length = u32::try_from(text.bytes.len()).unwrap_or(u32::MAX);
        if let Type::Text { max } | Type::Keyword { max } = typed.kind
            && length > max
        {
            let mut diagnostic =
                Diagnostic::error(Code::C13, format!("{} can never be found here", shown(&text.bytes)))
                    .primary(text.span, format!("{length} octets"));
            if let Some(declared) = typed.found.as_ref().and_then(|found| found.declared) {
                diagnostic = diagnostic.secondary(declared, format!("at most {max}"));
            }
            self.diagnostics.push(diagnostic.help(format!("this field has at most {max} octets")));
            return None;
        }
        Some(text.bytes.clone().into())
    }

    pub(super) fn matches(&mut self, value: &Expression, pattern: &Expression, facts: &Facts) -> Option<Tested> {
        let typed = self.value(value, facts, Absence::Refused)?;
        self.text_of(&typed, value.span)?;
        let ExpressionKind::Regex(text) = &pattern.kind else {
            return self.type_error(pattern.span, "a regular expression is needed here", "write it as /.../");
        };
        let expression = self.regex(text, pattern.span)?;
        let formula = Formula::Matches { text: Box::new(typed.formula.clone()), expression: Box::new(expression) };
        Some(decided(formula, &typed, None, facts))
    }

    fn regex(&mut self, text: &str, span: Span) -> Option<regex::bytes::Regex> {
        // Octets, not characters: what is on the wire need not be UTF-8.
        match regex::bytes::RegexBuilder::new(text).unicode(false).size_limit(MAX_REGEX_BYTES).build() {
            Ok(regex) => Some(regex),
            Err(error) => {
                let diagnostic = match error {
                    regex::Error::CompiledTooBig(_) => {
                        Diagnostic::error(Code::S5, "this regular expression is too large")
                            .primary(span, format!("more than {} KB once it is compiled", MAX_REGEX_BYTES >> 10))
                            .help("lower the numbers of its repetitions")
                    }
                    error => {
                        let text = error.to_string();
                        let reason = text.lines().last().unwrap_or_default();
                        let reason = reason.strip_prefix("error: ").unwrap_or(reason);
                        Diagnostic::error(Code::S3, "this is no regular expression").primary(span, reason)
                    }
                };
                self.diagnostics.push(diagnostic);
                None
            }
        }
    }

    pub(super) fn is(&mut self, value: &Expression, pattern: &Text, span: Span, facts: &Facts) -> Option<Tested> {
        let typed = self.value(value, facts, Absence::Refused)?;
        self.text_of(&typed, value.span)?;
        let fold = self.folds(&typed);
        let text = Box::new(typed.formula.clone());
        let stars = pattern.bytes.iter().filter(|byte| **byte == b'*').count();
        let formula = match pattern.bytes.as_slice() {
            [] => Formula::IsEmpty(text),
            _ if stars == 0 => Formula::Compare {
                operator: Comparison::Equal,
                left: text,
                right: Box::new(Formula::Bytes(pattern.bytes.clone().into())),
                fold,
            },
            [b'*'] => {
                let diagnostic = Diagnostic::error(Code::C21, "every text is `*`");
                self.diagnostics.push(diagnostic.primary(pattern.span, "this test always holds"));
                return None;
            }
            [start @ .., b'*'] if stars == 1 => {
                Formula::Finds { position: Position::Start, text, needles: Needles::new(vec![start.into()], fold) }
            }
            [b'*', end @ ..] if stars == 1 => {
                Formula::Finds { position: Position::End, text, needles: Needles::new(vec![end.into()], fold) }
            }
            bytes => {
                let mut expression = String::from(if fold { "(?is)\\A" } else { "(?s)\\A" });
                for byte in bytes {
                    match byte {
                        b'*' => expression.push_str(".*"),
                        byte if byte.is_ascii_alphanumeric() => expression.push(char::from(*byte)),
                        byte => expression.push_str(&format!("\\x{byte:02X}")),
                    }
                }
                expression.push_str("\\z");
                Formula::Matches { text, expression: Box::new(self.regex(&expression, span)?) }
            }
        };
        Some(decided(formula, &typed, None, facts))
    }

    pub(super) fn is_empty(&mut self, value: &Expression, facts: &Facts) -> Option<Tested> {
        let typed = self.value(value, facts, Absence::Parts)?;
        if !matches!(typed.kind, Type::Text { .. } | Type::Keyword { .. } | Type::List(_)) {
            let label = typed.kind.describe();
            return self.type_error(value.span, "only texts and lists can be empty", label);
        }
        let mut tested = undecided(Formula::IsEmpty(Box::new(typed.formula.clone())), facts);
        // What is absent counts as empty: what is not empty is there.
        if let Some(subject) = typed.subject {
            match &typed.found {
                Some(found) => tested.fails.learn_found(subject, found),
                None => tested.fails.learn_present(subject),
            }
        }
        Some(tested)
    }

    pub(super) fn text_of(&mut self, typed: &Typed, span: Span) -> Option<u32> {
        match typed.kind {
            Type::Text { max } | Type::Keyword { max } => Some(max),
            _ => {
                let label = typed.kind.describe();
                self.type_error(span, "text is needed here", label)
            }
        }
    }

    /// The networks of a literal list; what is no network is an error.
    pub fn networks(&mut self, entries: &[Expression]) -> Option<Vec<(IpAddr, u8)>> {
        let mut networks = Vec::new();
        for entry in entries {
            networks.push(match &entry.kind {
                ExpressionKind::Network(address, prefix) => (*address, *prefix),
                ExpressionKind::Address(address) => (*address, if address.is_ipv4() { 32 } else { 128 }),
                _ => return self.type_error(entry.span, "a network is needed here", "for example 10.0.0.0/8"),
            });
        }
        Some(networks)
    }
}
