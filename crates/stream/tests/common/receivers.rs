//! Receivers that read what leaves a gateway, each with another idea of overlapping segments.

use std::collections::VecDeque;

use portcullis_wire::TcpFlags;

/// What a receiver does where a segment brings other bytes for a place that it holds and has not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// A segment within a held one is dropped, one that covers a held one replaces it, of two that overlap in part the bytes of
    /// the one that begins first count.
    Linux,
    /// What is held is kept, except where the new segment begins before it and ends behind it.
    Windows,
    /// What is held is kept, except where the new segment begins before it.
    Bsd,
    First,
    Last,
}

impl Policy {
    pub const ALL: [Policy; 5] = [Policy::Linux, Policy::Windows, Policy::Bsd, Policy::First, Policy::Last];
}

/// A segment as it arrives; the offset is that in the stream, -1 for the place of the SYN.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub offset: i64,
    pub flags: TcpFlags,
    pub payload: Vec<u8>,
}

/// A byte that is held, and the segment that brought it.
#[derive(Clone, Copy, Debug)]
struct Held {
    byte: u8,
    start: i64,
    end: i64,
}

/// A receiver without a window, which believes in no reset: it reads all that any receiver could.
#[derive(Debug)]
pub struct Receiver {
    policy: Policy,
    read: Vec<u8>,
    held: VecDeque<Option<Held>>,
    fins: Vec<i64>,
    finished: bool,
}

impl Receiver {
    pub fn new(policy: Policy) -> Receiver {
        Receiver { policy, read: Vec::new(), held: VecDeque::new(), fins: Vec::new(), finished: false }
    }

    pub fn all() -> Vec<Receiver> {
        Policy::ALL.into_iter().map(Receiver::new).collect()
    }

    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// What the application has read.
    pub fn read(&self) -> &[u8] {
        &self.read
    }

    /// What the receiver acknowledges, as an offset.
    pub fn acknowledges(&self) -> i64 {
        self.read.len() as i64 + i64::from(self.finished)
    }

    pub fn take(&mut self, arrival: &Arrival) {
        if self.finished || arrival.flags.intersects(TcpFlags::SYN | TcpFlags::RST) {
            return;
        }
        let (start, end) = (arrival.offset, arrival.offset + arrival.payload.len() as i64);
        for (at, byte) in (start..).zip(&arrival.payload) {
            // What was read is not taken back.
            let Some(place) = at.checked_sub(self.read.len() as i64).and_then(|at| usize::try_from(at).ok()) else {
                continue;
            };
            if self.held.len() <= place {
                self.held.resize(place + 1, None);
            }
            let held = &mut self.held[place];
            let replaces = held.is_none_or(|held| match self.policy {
                Policy::First => false,
                Policy::Last => true,
                Policy::Bsd => start < held.start,
                Policy::Windows => start < held.start && end > held.end,
                Policy::Linux => start < held.start || (start == held.start && end > held.end),
            });
            if replaces {
                *held = Some(Held { byte: *byte, start, end });
            }
        }
        if arrival.flags.contains(TcpFlags::FIN) {
            self.fins.push(end);
        }
        // One octet at a time, as any of them may be followed by a FIN.
        loop {
            if self.fins.contains(&(self.read.len() as i64)) {
                self.finished = true;
                return;
            }
            match self.held.front().copied().flatten() {
                Some(held) => {
                    self.read.push(held.byte);
                    self.held.pop_front();
                }
                None => return,
            }
        }
    }
}
