//! How far a side is ahead of the answers to what it said, for whoever lets it speak only in its turn.

use portcullis_lang::Direction;

use super::{Dialogue, Status};
use crate::model::{Expect, RuleId};
use crate::program::Program;

impl Dialogue {
    /// Octets of a side that the machine has not come to: the last ones that it was given. They stand behind what is not
    /// answered yet, or are a record that is not complete.
    ///
    /// Where no record asks for an answer the machine comes to each when it is complete.
    pub fn unanswered(&self, direction: Direction) -> u64 {
        match self.status {
            Status::Talking => self.waiting().get(direction.index()).copied().unwrap_or(0),
            Status::Failed | Status::Finished => 0,
        }
    }

    /// Whether a side has said more than it was asked for: something of it waits for an answer of the other side.
    pub fn is_ahead(&self, direction: Direction) -> bool {
        let side = self.side(direction);
        self.status == Status::Talking && (side.stalled || (side.cursor.is_some() && self.unanswered(direction) > 0))
    }

    /// Whether the machine is where a side waits for an answer of the other.
    pub fn awaits_answer(&self, program: &Program, direction: Direction) -> bool {
        self.status == Status::Talking && self.core_waits(program, direction)
    }

    /// Whether a side is in the middle of a stream that the machine has come to.
    pub fn is_flowing(&self, direction: Direction) -> bool {
        let side = self.side(direction);
        self.status == Status::Talking && side.cursor.is_none() && side.stream.is_some()
    }
}

impl Program {
    /// How many octets a side may say at most before it is asked, in the state that allows the least; `None` if it never
    /// waits for an answer.
    pub fn runs_ahead(&self, direction: Direction) -> Option<u32> {
        let states = self.protocol.machine.states.iter();
        let waits = states.filter_map(|state| match state.expects.get(direction.index()) {
            Some(Expect::Waits { max }) => Some(*max),
            _ => None,
        });
        waits.min()
    }

    /// The most octets that a record of a side has.
    pub fn longest_record(&self, direction: Direction) -> u32 {
        let expects = self.protocol.machine.states.iter().filter_map(|state| state.expects.get(direction.index()));
        expects.map(|expect| self.longest_of(expect)).max().unwrap_or(0)
    }

    fn longest_of(&self, expect: &Expect) -> u32 {
        let record = |rule: RuleId| self.protocol.rules.get(usize::from(rule.0)).map_or(0, |rule| rule.max);
        match expect {
            Expect::Nothing | Expect::Waits { .. } | Expect::Stream(_) => 0,
            Expect::Record(expected) | Expect::Then(expected, _) => record(expected.rule),
            Expect::Choose { arms, otherwise, .. } => {
                arms.iter().map(|(_, expect)| self.longest_of(expect)).fold(self.longest_of(otherwise), u32::max)
            }
            Expect::First { arms, otherwise } => {
                arms.iter().map(|(_, expect)| self.longest_of(expect)).fold(self.longest_of(otherwise), u32::max)
            }
        }
    }
}
