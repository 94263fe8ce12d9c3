//! Questions that wait for their answers (`matches query by id`).

use std::collections::VecDeque;

use portcullis_lang::{EventId, Value};

use crate::limits::MAX_QUESTIONS;
use crate::model::Matching;

/// The questions of a flow without an answer, oldest first.
#[derive(Debug, Default)]
pub(super) struct Questions {
    open: VecDeque<Question>,
}

#[derive(Debug)]
struct Question {
    event: EventId,
    key: Option<Key>,
    time: i64,
}

#[derive(Debug, PartialEq, Eq)]
enum Key {
    Number(i64),
    Octets(Box<[u8]>),
}

fn key(value: &Value<'_>) -> Option<Key> {
    match value {
        Value::Number(number) => Some(Key::Number(*number)),
        Value::Bytes(bytes) => Some(Key::Octets(bytes.as_ref().into())),
        _ => None,
    }
}

impl Questions {
    /// Octets of memory that they take beside themselves, but for keys that are texts.
    pub(super) fn memory(&self) -> usize {
        self.open.capacity().saturating_mul(size_of::<Question>())
    }

    /// Takes a question. The oldest gives way if there are too many.
    pub(super) fn ask(&mut self, matching: &Matching, value: &Value<'_>, now: i64) {
        self.expire(matching, now);
        let most = usize::try_from(matching.max).unwrap_or(MAX_QUESTIONS).min(MAX_QUESTIONS);
        while self.open.len() >= most.max(1) {
            self.open.pop_front();
        }
        self.open.push_back(Question { event: matching.question, key: key(value), time: now });
    }

    /// Takes an answer; gives whether there was a question.
    pub(super) fn answer(&mut self, matching: &Matching, value: &Value<'_>, now: i64) -> bool {
        self.expire(matching, now);
        let wanted = key(value);
        let by_key = matching.key.is_some();
        let found = self
            .open
            .iter()
            .position(|question| question.event == matching.question && (!by_key || question.key == wanted));
        found.and_then(|index| self.open.remove(index)).is_some()
    }

    fn expire(&mut self, matching: &Matching, now: i64) {
        if matching.patience > 0 {
            while self.open.front().is_some_and(|oldest| now.saturating_sub(oldest.time) > matching.patience) {
                self.open.pop_front();
            }
        }
    }
}
