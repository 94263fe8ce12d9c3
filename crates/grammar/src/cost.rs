//! The cost card: how much memory a flow of a protocol can take, known before the first packet.
//!
//! Everything that is held has a maximum in the grammar or in `limits.rs`; the card adds them up. What only the worker
//! needs while it parses a record (slots, scratch) is used again for the next flow and is listed apart.

use std::fmt;
use std::mem::size_of;

use portcullis_lang::{Direction, Type};

use crate::check::Sizes;
use crate::limits::{MAX_KEPT_TEXT, MAX_QUESTIONS, MAX_SLOTS};
use crate::model::{Expect, Item, Matching, Protocol, Rule, RuleId};
use crate::record::Slot;
use crate::show;

/// Octets that a flow takes for one direction beside what it holds: place in the program, counters, offsets.
pub(crate) const DIRECTION_OCTETS: u64 = 64;
/// Octets for one number or truth value that a flow keeps.
pub(crate) const VALUE_OCTETS: u64 = 24;
/// Octets for one question that waits for its answer, with its key and time.
pub(crate) const QUESTION_OCTETS: u64 = 40;
/// Octets for a channel that is open, without what its reader holds.
pub(crate) const CHANNEL_OCTETS: u64 = 32;

/// What is held at most in one direction, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Octets.
    pub octets: u64,
    /// The record or state that needs them; empty if nothing is held.
    pub by: String,
}

/// The memory of one flow of a protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostCard {
    /// The protocol.
    pub protocol: String,
    /// The largest record, by [`Direction::index`].
    pub held: [Held; 2],
    /// The most that waits for the other side, by [`Direction::index`].
    pub waits: [Held; 2],
    /// The flow's own state, both directions.
    pub state: u64,
    /// What is kept of records, and the flow's own numbers.
    pub kept: u64,
    /// Questions without an answer.
    pub questions: u64,
    /// Open channels.
    pub channels: u64,
    /// The slots of the largest record, of the worker and not of the flow.
    pub slots: u64,
}

impl CostCard {
    /// Adds up the card of a protocol.
    pub fn of(protocol: &Protocol) -> CostCard {
        let (mut held, mut waits) = ([Held::default(), Held::default()], [Held::default(), Held::default()]);
        let mut questions = 0;
        let mut slots = 0;
        for state in &protocol.machine.states {
            for direction in Direction::BOTH {
                let Some(expect) = state.expects.get(direction.index()) else { continue };
                each(expect, &mut |one| match one {
                    One::Record(rule, matching) => {
                        let Some(rule) = protocol.rules.get(usize::from(rule.0)) else { return };
                        raise(held.get_mut(direction.index()), record_octets(protocol, rule), &rule.name);
                        slots = slots.max(slots_of(protocol, rule, 0));
                        if let Some(matching) = matching {
                            let most = u64::from(matching.max).min(MAX_QUESTIONS as u64);
                            questions = questions.max(most.saturating_mul(QUESTION_OCTETS));
                        }
                    }
                    One::Waits(max) => raise(waits.get_mut(direction.index()), u64::from(max), &state.name),
                });
            }
        }
        let flow = &protocol.scheme.flow;
        let texts = flow.fields.iter().map(|field| match field.kind {
            Type::Text { max } | Type::Keyword { max } => u64::from(max).min(MAX_KEPT_TEXT as u64),
            _ => 0,
        });
        let kept = u64::from(flow.width).saturating_mul(VALUE_OCTETS).saturating_add(texts.sum());
        CostCard {
            protocol: protocol.name.clone(),
            held,
            waits,
            state: DIRECTION_OCTETS.saturating_mul(2),
            kept,
            questions,
            channels: CHANNEL_OCTETS.saturating_mul(protocol.channels.len() as u64),
            slots: slots.min(MAX_SLOTS as u64).saturating_mul(size_of::<Slot>() as u64),
        }
    }

    /// Octets of a flow between two records, when nothing is held.
    pub fn typical(&self) -> u64 {
        self.state.saturating_add(self.kept)
    }

    /// The most octets that a flow can take.
    ///
    /// A direction that waits holds no record, so that the larger of the two counts.
    pub fn worst(&self) -> u64 {
        let directions = self.held.iter().zip(&self.waits).map(|(held, waits)| held.octets.max(waits.octets));
        [self.state, self.kept, self.questions, self.channels]
            .into_iter()
            .chain(directions)
            .fold(0, u64::saturating_add)
    }
}

/// What costs in what a side may say.
enum One<'a> {
    Record(RuleId, Option<&'a Matching>),
    Waits(u32),
}

fn each<'a>(expect: &'a Expect, visit: &mut dyn FnMut(One<'a>)) {
    match expect {
        Expect::Nothing | Expect::Stream(_) => {}
        Expect::Waits { max } => visit(One::Waits(*max)),
        Expect::Record(expected) => visit(One::Record(expected.rule, expected.matches.as_ref())),
        Expect::Then(expected, then) => {
            visit(One::Record(expected.rule, expected.matches.as_ref()));
            each(then, visit);
        }
        Expect::Choose { arms, otherwise, .. } => {
            arms.iter().for_each(|(_, expect)| each(expect, visit));
            each(otherwise, visit);
        }
        Expect::First { arms, otherwise } => {
            arms.iter().for_each(|(_, expect)| each(expect, visit));
            each(otherwise, visit);
        }
    }
}

fn raise(held: Option<&mut Held>, octets: u64, by: &str) {
    if let Some(held) = held.filter(|held| held.octets < octets) {
        *held = Held { octets, by: by.to_owned() };
    }
}

/// The most octets of a record: its `max`, or less if it consists of less.
fn record_octets(protocol: &Protocol, rule: &Rule) -> u64 {
    let most = Sizes::new(protocol).most_of_rule(rule).unwrap_or(u64::MAX);
    match rule.max {
        0 => most,
        max => most.min(u64::from(max)),
    }
}

/// The most slots that a record takes, with those of all elements of its lists. An element takes at least one octet.
fn slots_of(protocol: &Protocol, rule: &Rule, depth: u8) -> u64 {
    const MAX_LISTS: u8 = 16;
    if depth >= MAX_LISTS {
        return MAX_SLOTS as u64;
    }
    let mut slots = u64::from(rule.layout.width);
    lists(&rule.items, &mut |element, max| {
        let Some(element) = protocol.rules.get(usize::from(element.0)) else { return };
        let most = match (max, rule.max) {
            (0, 0) => MAX_SLOTS as u64,
            (0, octets) => u64::from(octets),
            (max, 0) => u64::from(max),
            (max, octets) => u64::from(max.min(octets)),
        };
        slots = slots.saturating_add(most.saturating_mul(slots_of(protocol, element, depth.saturating_add(1))));
    });
    slots
}

fn lists(items: &[Item], visit: &mut dyn FnMut(RuleId, u32)) {
    for item in items {
        match item {
            Item::Many(many) => visit(many.element, many.max),
            Item::Optional { items, .. }
            | Item::When { items, .. }
            | Item::Window { items, .. }
            | Item::Line { items, .. } => lists(items, visit),
            Item::Switch { arms, otherwise, .. } => {
                arms.iter().for_each(|arm| lists(&arm.items, visit));
                otherwise.iter().for_each(|items| lists(items, visit));
            }
            Item::Choose { arms, otherwise, .. } => {
                arms.iter().for_each(|arm| lists(&arm.items, visit));
                otherwise.iter().for_each(|items| lists(items, visit));
            }
            _ => {}
        }
    }
}

impl fmt::Display for CostCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.protocol.len().max(8);
        let state = self.state;
        writeln!(f, "{:width$}  flow state   {state} octets, kept values {} octets", self.protocol, self.kept)?;
        for (held, waits, direction) in [(&self.held[0], &self.waits[0], "up"), (&self.held[1], &self.waits[1], "down")]
        {
            let part = |held: &Held, what: &str| match held.octets {
                0 => format!("nothing {what}"),
                octets => format!("{} {what} ({})", show::octets(octets), held.by),
            };
            writeln!(f, "{:width$}  at most {direction:4} {}, {}", "", part(held, "held"), part(waits, "waiting"))?;
        }
        if self.questions > 0 {
            writeln!(f, "{:width$}  questions    {} octets without an answer", "", self.questions)?;
        }
        if self.channels > 0 {
            writeln!(f, "{:width$}  channels     {} octets, and what their readers hold", "", self.channels)?;
        }
        writeln!(
            f,
            "{:width$}  worst case   {} per flow; typical {} between records",
            "",
            rounded(self.worst()),
            show::octets(self.typical())
        )?;
        write!(f, "{:width$}  per worker   {} for the fields of the record at hand", "", rounded(self.slots))
    }
}

/// Octets to the next whole KB above 10 KB.
fn rounded(octets: u64) -> String {
    if octets < 10 * 1024 { show::octets(octets) } else { format!("{} KB", octets.div_ceil(1024)) }
}
