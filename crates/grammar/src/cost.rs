//! The cost card: how much memory a flow of a protocol can take, known before the first packet.
//!
//! Everything that is held has a maximum in the grammar or in [`limits`](crate::limits); the card adds them up. What only
//! the worker needs while it parses a record is used again for the next flow and is listed apart.

use std::fmt;
use std::mem::size_of;

use portcullis_lang::{Direction, Type};

use crate::check::Sizes;
use crate::dialogue::Dialogue;
use crate::limits::{MAX_AHEAD, MAX_KEPT_TEXT, MAX_QUESTIONS, MAX_SLOTS};
use crate::model::{Expect, Item, Matching, Protocol, Rule, RuleId, RuleKind};
use crate::record::Slot;
use crate::show;

/// Octets that a direction takes while it is in the middle of a record or stream, beside what it holds.
pub(crate) const DIRECTION_OCTETS: u64 = 512;
/// Octets for one number or truth value that a flow keeps.
pub(crate) const VALUE_OCTETS: u64 = 24;
/// Octets for one question that waits for its answer, with its key and time.
pub(crate) const QUESTION_OCTETS: u64 = 64;
/// Octets for a channel, without what its reader holds.
pub(crate) const CHANNEL_OCTETS: u64 = 16;
/// Octets for one record that was parsed ahead of the answers before it, beside its own.
pub(crate) const AHEAD_OCTETS: u64 = 64;

/// Lists within lists that are looked into.
const MAX_LISTS: u8 = 8;

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
    /// The fields of a record of which the end has not come yet, by [`Direction::index`]. Lines, datagrams and framed
    /// records have none: their fields are read when they are complete.
    pub fields: [Held; 2],
    /// The most that waits for the other side, by [`Direction::index`].
    pub waits: [Held; 2],
    /// The flow's own state between two records.
    pub idle: u64,
    /// What it takes more in the middle of records, both directions.
    pub busy: u64,
    /// What is kept of records, and the flow's own numbers.
    pub kept: u64,
    /// Records that were parsed ahead of the answers to those before them, and what was kept by then.
    pub ahead: u64,
    /// Questions without an answer.
    pub questions: u64,
    /// Channels.
    pub channels: u64,
    /// The fields of the largest record, of the worker and not of the flow.
    pub worker: u64,
}

impl CostCard {
    /// Adds up the card of a protocol.
    pub fn of(protocol: &Protocol) -> CostCard {
        let sizes = Sizes::new(protocol);
        let framed = !protocol.transports.is_empty()
            && protocol.transports.iter().all(|transport| transport.datagrams || transport.framed.is_some());
        let none = || [Held::default(), Held::default()];
        let (mut held, mut fields, mut waits) = (none(), none(), none());
        let (mut questions, mut worker) = (0, 0);
        for state in &protocol.machine.states {
            for direction in Direction::BOTH {
                let at = direction.index();
                let Some(expect) = state.expects.get(at) else { continue };
                each(expect, &mut |one| match one {
                    One::Record(rule, matching) => {
                        let Some(rule) = protocol.rules.get(usize::from(rule.0)) else { return };
                        let octets = record_octets(&sizes, rule);
                        raise(held.get_mut(at), octets, &rule.name);
                        let slots = slots_of(protocol, &sizes, rule, octets).min(MAX_SLOTS as u64);
                        let slots = slots.saturating_mul(size_of::<Slot>() as u64);
                        worker = slots.max(worker);
                        if rule.kind != RuleKind::Line && !framed {
                            raise(fields.get_mut(at), slots, &rule.name);
                        }
                        if let Some(matching) = matching {
                            let most = u64::from(matching.max).min(MAX_QUESTIONS as u64);
                            questions = questions.max(most.saturating_mul(QUESTION_OCTETS));
                        }
                    }
                    One::Waits(max) => raise(waits.get_mut(at), u64::from(max), &state.name),
                });
            }
        }
        let flow = &protocol.scheme.flow;
        let texts = flow.fields.iter().map(|field| match field.kind {
            Type::Text { max } | Type::Keyword { max } => u64::from(max).min(MAX_KEPT_TEXT as u64),
            _ => 0,
        });
        let kept = u64::from(flow.width).saturating_mul(VALUE_OCTETS).saturating_add(texts.sum());
        // One side at a time is ahead; it stops after the record with which it has passed its maximum.
        let ahead = held.iter().zip(&waits).filter(|(_, waits)| waits.octets > 0);
        let ahead = ahead.map(|(held, waits)| waits.octets.saturating_add(held.octets)).max().map_or(0, |octets| {
            octets.saturating_add(AHEAD_OCTETS.saturating_mul(MAX_AHEAD as u64)).saturating_add(kept)
        });
        CostCard {
            protocol: protocol.name.clone(),
            held,
            fields,
            waits,
            idle: size_of::<Dialogue>() as u64,
            busy: DIRECTION_OCTETS.saturating_mul(2),
            kept,
            ahead,
            questions,
            channels: CHANNEL_OCTETS.saturating_mul(protocol.channels.len() as u64),
            worker,
        }
    }

    /// Octets of a flow between two records, when nothing is held.
    pub fn typical(&self) -> u64 {
        self.idle.saturating_add(self.kept).saturating_add(self.channels)
    }

    /// The most octets that a flow can take.
    ///
    /// A direction that waits is in no record, so that the larger of the two counts.
    pub fn worst(&self) -> u64 {
        let held = self.held.iter().zip(&self.fields).map(|(held, fields)| held.octets.saturating_add(fields.octets));
        let directions = held.zip(&self.waits).map(|(held, waits)| held.max(waits.octets));
        [self.idle, self.busy, self.kept, self.ahead, self.questions, self.channels]
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
fn record_octets(sizes: &Sizes, rule: &Rule) -> u64 {
    let most = sizes.most_of_rule(rule).unwrap_or(u64::MAX);
    match rule.max {
        0 => most,
        max => most.min(u64::from(max)),
    }
}

/// The most slots that so many octets of a rule can take, with those of all elements of its lists: what there is room
/// for in the octets, or what the lists' maxima allow, if that is less.
fn slots_of(protocol: &Protocol, sizes: &Sizes, rule: &Rule, octets: u64) -> u64 {
    let by_octets = octets.saturating_mul(thousandths(protocol, sizes, rule, 0)).div_ceil(1000);
    u64::from(rule.layout.width).saturating_add(by_octets.min(by_maxima(protocol, rule, 0)))
}

/// The most slots that the maxima of a rule's lists allow.
fn by_maxima(protocol: &Protocol, rule: &Rule, depth: u8) -> u64 {
    let mut slots = 0_u64;
    lists(&rule.items, &mut |element, max| {
        let Some(rule) = protocol.rules.get(usize::from(element.0)) else { return };
        let inner = match (max, depth) {
            (0 | u32::MAX, _) | (_, MAX_LISTS..) => u64::MAX,
            _ => by_maxima(protocol, rule, depth.saturating_add(1)),
        };
        // One more for the place in the table of elements.
        let each = u64::from(rule.layout.width).saturating_add(1).saturating_add(inner);
        slots = slots.saturating_add(u64::from(max).saturating_mul(each));
    });
    slots
}

/// How many slots the elements of a rule's lists take for 1,000 octets, at most: its lists share its octets, and a list
/// in a list has those of its element once more.
fn thousandths(protocol: &Protocol, sizes: &Sizes, rule: &Rule, depth: u8) -> u64 {
    let mut most = 0;
    lists(&rule.items, &mut |element, _| {
        let Some(rule) = protocol.rules.get(usize::from(element.0)) else { return };
        // One more for the place in the table of elements.
        let own = u64::from(rule.layout.width).saturating_add(1).saturating_mul(1000);
        let own = own.div_ceil(sizes.least_of_rule(element).max(1));
        let inner = match depth {
            MAX_LISTS.. => 0,
            depth => thousandths(protocol, sizes, rule, depth.saturating_add(1)),
        };
        most = own.saturating_add(inner).max(most);
    });
    most
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
        let indent = self.protocol.len().max(6).saturating_add(2);
        write!(f, "{:indent$}", self.protocol)?;
        writeln!(
            f,
            "flow state   {} octets, {} more within records, kept values {} octets",
            self.idle, self.busy, self.kept
        )?;
        for direction in Direction::BOTH {
            let at = direction.index();
            let mut parts = Vec::new();
            for (held, what) in [(&self.held, "held"), (&self.fields, "fields"), (&self.waits, "waiting")] {
                if let Some(held) = held.get(at).filter(|held| held.octets > 0) {
                    parts.push(format!("{} {what} ({})", rounded(held.octets), held.by));
                }
            }
            let parts = if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") };
            writeln!(f, "{:indent$}at most {direction:4} {parts}", "")?;
        }
        if self.ahead > 0 {
            writeln!(f, "{:indent$}ahead        {} of records before their answers", "", rounded(self.ahead))?;
        }
        if self.questions > 0 {
            writeln!(f, "{:indent$}questions    {} without an answer", "", rounded(self.questions))?;
        }
        if self.channels > 0 {
            writeln!(f, "{:indent$}channels     {} octets, and what their readers hold", "", self.channels)?;
        }
        let (worst, typical) = (rounded(self.worst()), show::octets(self.typical()));
        writeln!(f, "{:indent$}worst case   {worst} per flow; typical {typical} between records", "")?;
        write!(f, "{:indent$}per worker   {} for the fields of the record at hand", "", rounded(self.worker))
    }
}

/// Octets to the next whole KB above 10 KB.
fn rounded(octets: u64) -> String {
    if octets < 10 * 1024 { show::octets(octets) } else { format!("{} KB", octets.div_ceil(1024)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::loaded;

    #[test]
    fn everything_is_added_up() {
        let card = CostCard::of(&loaded(
            "protocol p over tcp port 1\n\
             line command max 512 { verb: word max 16   _: rest }\n\
             line reply max 2 KB { code: decimal max 3   _: rest }\n\
             record header max 64 KB { a: u32   b: u32 }\n\
             stream body { bytes 10 | all }\n\
             flow { asked: last command keeping verb   n: u16 = 0   all: channel }\n\
             machine {\n\
             start one\n\
             state one { up command  down reply  on command -> two }\n\
             state two { up waits max 64 KB  down header  on header { close all } -> three }\n\
             state three { up body  down reply  on body { close all } -> one }\n\
             }",
        ));
        assert_eq!(card.held, [Held { octets: 512, by: "command".into() }, Held { octets: 2048, by: "reply".into() },]);
        assert_eq!(card.waits, [Held { octets: 65536, by: "two".into() }, Held::default()]);
        // `asked`, `asked.verb`, `n`, and the text of the verb.
        assert_eq!(card.kept, 3 * VALUE_OCTETS + 16);
        assert_eq!(card.channels, CHANNEL_OCTETS);
        let ahead = 65536 + 512 + AHEAD_OCTETS * MAX_AHEAD as u64 + card.kept;
        assert_eq!(card.ahead, ahead);
        // Two numbers of a header that has not come to its end.
        assert_eq!(card.fields.clone().map(|fields| fields.octets), [0, 2 * size_of::<Slot>() as u64]);
        assert_eq!(card.typical(), size_of::<Dialogue>() as u64 + card.kept + CHANNEL_OCTETS);
        let held = 65536 + 2048 + 2 * size_of::<Slot>() as u64;
        assert_eq!(card.worst(), card.idle + card.busy + card.kept + CHANNEL_OCTETS + ahead + held);
    }

    #[test]
    fn questions_cost_as_many_as_may_wait() {
        let card = CostCard::of(&loaded(
            "protocol p over udp port 1\n\
             record message max 512 { id: u16   _: rest }\n\
             machine { start one  state one { up message as ask  down message as answer matches ask by id max 10 for 1 s } }",
        ));
        assert_eq!(card.questions, 10 * QUESTION_OCTETS);
        assert_eq!(card.held.map(|held| held.octets), [512, 512]);
    }

    #[test]
    fn cards_of_the_shipped_grammars() {
        // How large the machine's own state is changes with the machine, what the grammar adds to it does not.
        let card = |text| CostCard { idle: 300, ..CostCard::of(&loaded(text)) };
        let smtp = card(include_str!("../../../grammars/smtp.grammar"));
        let dns = card(include_str!("../../../grammars/dns.grammar"));
        insta::assert_snapshot!(format!("{smtp}\n\n{dns}"));
    }
}
