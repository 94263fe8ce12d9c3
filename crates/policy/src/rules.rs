//! One rule: checked on each of its events, and planned.

use std::sync::Arc;

use portcullis_lang::typing::{Absence, Checker, Facts, Typed};
use portcullis_lang::{
    Code, Diagnostic, Diagnostics, EventId, EventKind, EventType, Expression, Formula, ProtocolScheme, Template,
    TemplatePart, Type,
};
use smallvec::SmallVec;

use crate::answers;
use crate::decision::RuleInfo;
use crate::demand;
use crate::edits;
use crate::events::{self, Protocol};
use crate::fields;
use crate::holds;
use crate::limits::{MAX_HOLDS, MAX_STREAM_EXPRESSION_BYTES};
use crate::memory::Threshold;
use crate::names::{NamedSets, RuleNames};
use crate::plan::{Actions, Alert, Planner, RuleOnEvent};
use crate::reach::{Candidate, Reach};
use crate::streams::{self, STREAM, StreamPatterns};
use crate::syntax::{self, PolicyItem, RuleItem, Trigger, VerdictClause};
use crate::text::{AlertPart, AlertText, plain};

/// What a rule needs to know of its policy.
pub(crate) struct PolicyContext<'t, 'c> {
    pub(crate) item: &'t PolicyItem,
    /// Its number among all policies.
    pub(crate) number: usize,
    pub(crate) protocol: Protocol<'c>,
    pub(crate) schemes: &'c [Arc<ProtocolScheme>],
    pub(crate) sets: &'c NamedSets,
    pub(crate) gates: &'c SmallVec<[u32; 2]>,
}

/// Checks a rule, and plans it for each of its events.
pub(crate) fn compile<'t>(
    rule: &'t RuleItem,
    info: Arc<RuleInfo>,
    context: &PolicyContext<'t, '_>,
    planner: &mut Planner,
    reach: &mut Reach<'t>,
    diagnostics: &mut Diagnostics,
) {
    shape(rule, diagnostics);
    if let Some(hold) = rule.hold.as_ref().filter(|_| planner.holds(context.protocol.id) >= MAX_HOLDS) {
        let title = format!("there are more than {MAX_HOLDS} holds of {}", context.protocol.scheme.name);
        diagnostics.push(Diagnostic::error(Code::S5, title).primary(hold.span, "one too many"));
        return;
    }
    let mut events: Vec<(EventId, &EventType, &'t Trigger)> = Vec::new();
    for trigger in &rule.triggers {
        let Some((id, event)) = events::event(&trigger.event, context.protocol, context.schemes, diagnostics) else {
            continue;
        };
        let held =
            rule.hold.as_ref().map(|_| holds::begin(&trigger.event, (id, event), context.protocol.scheme, diagnostics));
        let (id, event) = match held {
            Some(None) => continue,
            Some(Some(begin)) => begin,
            None => (id, event),
        };
        if let Some((_, _, first)) = events.iter().find(|(known, _, _)| *known == id) {
            diagnostics.push(
                Diagnostic::error(Code::S7, format!("the rule is on `{}` twice", trigger.event))
                    .primary(trigger.event.span, "the second time here")
                    .secondary(first.event.span, "the first time here")
                    .help("join their tests with `or`"),
            );
            continue;
        }
        events.push((id, event, trigger));
    }
    reached(rule, &events, context, reach, diagnostics);
    let numbers = (planner.next_threshold(), planner.next_threshold());
    for (id, event, trigger) in &events {
        let mut found = Diagnostics::new();
        let planned = on_event(rule, (*id, event), trigger, context, numbers, &mut found);
        for mut diagnostic in found.sorted().into_iter().cloned() {
            if events.len() > 1 {
                diagnostic = diagnostic.secondary(trigger.event.span, "on this event");
            }
            diagnostics.push(diagnostic);
        }
        let allowed = answers::allowed(rule, *id, event, context.protocol.scheme, diagnostics);
        if let Some((conditions, actions)) = planned.filter(|_| allowed) {
            let gates = context.gates.clone();
            let rule = RuleOnEvent { info: Arc::clone(&info), gates, conditions, actions };
            planner.add_rule(context.protocol.id, *id, rule);
        }
    }
}

/// What can be said without knowing any name.
fn shape(rule: &RuleItem, diagnostics: &mut Diagnostics) {
    if rule.refused {
        return;
    }
    if rule.triggers.is_empty() {
        diagnostics.push(
            Diagnostic::error(Code::S1, format!("rule `{}` is on no event", rule.name))
                .primary(rule.span, "")
                .help("say what it judges, for example `on smtp.command`"),
        );
    }
    let decides = rule.verdict.is_some() || rule.block.is_some() || rule.hold.is_some() || !rule.edits.is_empty();
    if rule.alert.is_none() && rule.logs.is_empty() && !decides {
        diagnostics.push(
            Diagnostic::error(Code::C21, format!("rule `{}` does nothing", rule.name))
                .primary(rule.span, "")
                .help("give it `alert SEVERITY \"text\"`, `log \"text\"`, or a verdict such as `pass` or `drop`"),
        );
    } else if let (Some(place), false) = (rule.observe, decides) {
        diagnostics.push(
            Diagnostic::warning(Code::C21, "`mode observe` has no effect here")
                .primary(place, format!("rule `{}` has no verdict that it could hold back", rule.name)),
        );
    }
}

/// Reports events on which the rule is never reached, and remembers what it takes from those behind it.
fn reached<'t>(
    rule: &'t RuleItem,
    events: &[(EventId, &EventType, &'t Trigger)],
    context: &PolicyContext<'t, '_>,
    reach: &mut Reach<'t>,
    diagnostics: &mut Diagnostics,
) {
    let tests_of = |trigger: &'t Trigger| -> Vec<&'t Expression> { trigger.when.iter().chain(&rule.when).collect() };
    let mut missed = Vec::new();
    for (id, _, trigger) in events {
        let tests = tests_of(trigger);
        let candidate = Candidate { policy: context.number, policy_when: context.item.when.as_ref(), tests: &tests };
        let at = (context.protocol.id, *id);
        if let Some(closer) = reach.closer(at, candidate) {
            missed.push((trigger, closer.clone()));
        } else if let (Some(verdict), None, None) = (rule.verdict, rule.observe.or(context.item.observe), &rule.after) {
            reach.close(at, candidate, verdict, rule.span);
        }
    }
    let all = missed.len() == events.len();
    for (trigger, closer) in missed.into_iter().take(if all { 1 } else { usize::MAX }) {
        let verb = match closer.verdict {
            VerdictClause::Pass => "passes",
            VerdictClause::Drop => "drops",
            VerdictClause::Reset => "resets",
            VerdictClause::Refuse => "refuses",
            VerdictClause::Bypass => "bypasses",
        };
        let (title, place) = match all {
            true => ("this rule is never reached".to_owned(), rule.span),
            false => (format!("this rule is never reached on `{}`", trigger.event), trigger.event.span),
        };
        diagnostics.push(
            Diagnostic::error(Code::C2, title)
                .primary(place, "")
                .secondary(closer.rule, format!("{verb} everything on which it could act"))
                .secondary(closer.place, "ends the reading")
                .help("rules are read from top to bottom; put the one with more tests first"),
        );
    }
}

/// The rule on one of its events; nothing if something is wrong, which is reported.
fn on_event(
    rule: &RuleItem,
    (id, event): (EventId, &EventType),
    trigger: &Trigger,
    context: &PolicyContext<'_, '_>,
    (after, at_most): (u32, u32),
    diagnostics: &mut Diagnostics,
) -> Option<(Vec<Formula>, Actions)> {
    let names = RuleNames { scheme: context.protocol.scheme, event, sets: context.sets };
    let mut facts = Facts::new();
    let mut sound = true;
    let mut conditions = Vec::new();
    for test in trigger.when.iter().chain(&rule.when) {
        let formula = fields::are_of_event(test, &names, diagnostics)
            .then(|| {
                let checker = Checker::new(&names, diagnostics);
                // `contains "x"` alone is about the stream.
                let mut checker = if event.kind == EventKind::StreamEnd { checker.about(stream()) } else { checker };
                checker.condition(test, &mut facts)
            })
            .flatten()
            .filter(|formula| whole_stream(test, formula, diagnostics));
        match formula {
            Some(formula) => conditions.push(formula),
            // What stands behind is read without knowing what this test would have told, and would be reported in vain.
            None => return None,
        }
    }
    let mut actions = Actions {
        verdict: answers::verdict(rule),
        observe: rule.observe.or(context.item.observe).is_some(),
        ..Actions::default()
    };
    let threshold = |given: &Option<syntax::Threshold>, number, diagnostics: &mut Diagnostics| match given {
        None => Some(None),
        Some(given) => counted(given, number, &names, &facts, diagnostics).map(Some),
    };
    match threshold(&rule.after, after, diagnostics) {
        Some(after) => actions.after = after,
        None => sound = false,
    }
    if let Some(alert) = &rule.alert {
        let at_most = threshold(&alert.at_most, at_most, diagnostics);
        match (text(&alert.text, &names, &facts, diagnostics), at_most) {
            (Some(text), Some(at_most)) => {
                actions.alert = Some(Alert { severity: alert.severity, text, at_most });
            }
            _ => sound = false,
        }
    }
    for log in &rule.logs {
        match text(log, &names, &facts, diagnostics) {
            Some(text) => actions.logs.push(text),
            None => sound = false,
        }
    }
    if let Some(block) = &rule.block {
        actions.block = answers::block(block, diagnostics);
        sound &= actions.block.is_some();
    }
    if let Some(clause) = &rule.hold {
        let from = (id, &trigger.event);
        actions.hold = holds::compile(clause, from, context.protocol, context.schemes, diagnostics);
        sound &= actions.hold.is_some();
    }
    for clause in &rule.edits {
        match edits::compile(clause, id, &names, &facts, diagnostics) {
            Some(edit) => actions.edits.push(edit),
            None => sound = false,
        }
    }
    sound.then_some((conditions, actions))
}

/// The content of a stream, as what `contains` and `matches` are about.
fn stream() -> Typed {
    Typed {
        formula: Formula::Place(STREAM),
        kind: Type::Text { max: u32::MAX },
        optional: false,
        fallible: false,
        subject: None,
        found: None,
    }
}

/// Whether what a condition asks of a stream can be told while it flows through.
fn whole_stream(test: &Expression, formula: &Formula, diagnostics: &mut Diagnostics) -> bool {
    if !demand::reads(formula, STREAM) {
        return true;
    }
    let mut patterns = StreamPatterns::default();
    if !patterns.take(&mut formula.clone()) {
        diagnostics.push(
            Diagnostic::error(Code::C11, "of a stream only `contains` and `matches` can be asked")
                .primary(test.span, "")
                .help("`matches /^.../` looks at its beginning, `matches /...$/` at its end"),
        );
        return false;
    }
    for (text, span) in fields::expressions_of_stream(test) {
        if !streams::expression_fits(&text) {
            diagnostics.push(
                Diagnostic::error(Code::S5, "this regular expression is too large for a stream")
                    .primary(span, format!("more than {} KB as an automaton", MAX_STREAM_EXPRESSION_BYTES >> 10))
                    .note("it is stepped over every octet, so that nothing of the stream has to be held")
                    .help("lower the numbers of its repetitions, or look for a text in it with `contains`"),
            );
            return false;
        }
    }
    true
}

fn counted(
    given: &syntax::Threshold,
    number: u32,
    names: &RuleNames<'_>,
    facts: &Facts,
    diagnostics: &mut Diagnostics,
) -> Option<Threshold> {
    let typed = single(&given.key, names, facts, diagnostics)?;
    Some(Threshold {
        number,
        count: usize::try_from(given.count).unwrap_or(usize::MAX),
        key: typed.formula,
        window: i64::try_from(given.window).unwrap_or(i64::MAX),
    })
}

fn text(template: &Template, names: &RuleNames<'_>, facts: &Facts, diagnostics: &mut Diagnostics) -> Option<AlertText> {
    let mut text = Some(AlertText::default());
    for part in &template.parts {
        let part = match part {
            TemplatePart::Text(octets) => Some(AlertPart::Text(plain(octets))),
            TemplatePart::Value(expression) => value(expression, names, facts, diagnostics),
        };
        match (part, &mut text) {
            (Some(part), Some(text)) => text.parts.push(part),
            _ => text = None,
        }
    }
    text
}

pub(crate) fn value(
    expression: &Expression,
    names: &RuleNames<'_>,
    facts: &Facts,
    diagnostics: &mut Diagnostics,
) -> Option<AlertPart> {
    let typed = single(expression, names, facts, diagnostics)?;
    let names = match typed.kind {
        Type::Enumeration(enumeration) => Some(enumeration),
        _ => None,
    };
    Some(AlertPart::Value { formula: typed.formula, names })
}

/// One value that can be shown or counted by: no group and no list.
fn single(
    expression: &Expression,
    names: &RuleNames<'_>,
    facts: &Facts,
    diagnostics: &mut Diagnostics,
) -> Option<Typed> {
    if !fields::are_of_event(expression, names, diagnostics) {
        return None;
    }
    let typed = Checker::new(names, diagnostics).value(expression, facts, Absence::Parts)?;
    let help = match &typed.kind {
        Type::Group => "name one of its fields",
        Type::List(_) => "`join LIST.FIELD with \", \"` and `count of LIST` are values",
        _ => return Some(typed),
    };
    diagnostics.push(
        Diagnostic::error(Code::C11, format!("{} is no value", typed.kind.describe()))
            .primary(expression.span, "")
            .help(help),
    );
    None
}
