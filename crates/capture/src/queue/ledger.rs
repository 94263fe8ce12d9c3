//! What every backend counts: packets, gaps in their numbers, and who waits for a verdict.

use std::collections::HashSet;

use super::message::PacketMessage;
use super::{Disposition, PacketId, QueueError, QueueStatistics};
use crate::limits;

/// The account of one queue.
#[derive(Debug)]
pub(super) struct Ledger {
    number: u16,
    /// The packet that was received last, if it waits: most get their verdict before the next is asked for.
    newest: Option<u32>,
    /// The others that wait.
    waiting: HashSet<u32, ahash::RandomState>,
    last: Option<u32>,
    pub(super) statistics: QueueStatistics,
}

impl Ledger {
    pub(super) fn new(number: u16) -> Self {
        Self {
            number,
            newest: None,
            waiting: HashSet::default(),
            // The kernel counts the packets of a queue from 1, so that the first ones can be missed too.
            last: Some(0),
            statistics: QueueStatistics::default(),
        }
    }

    /// Enters a packet that was received.
    pub(super) fn receive(&mut self, packet: &PacketMessage) {
        let length = packet.payload.len();
        let statistics = &mut self.statistics;
        add(&mut statistics.received, 1);
        add(&mut statistics.octets, length as u64);
        if packet.is_offloaded() {
            add(&mut statistics.offloaded, 1);
        }
        if packet.original_length.is_some_and(|original| u64::from(original) > length as u64) {
            add(&mut statistics.cut, 1);
        }
        if let Some(last) = self.last {
            let missing = packet.id.wrapping_sub(last).wrapping_sub(1);
            // Numbers only grow; one that seems to go back (more than half way round) is not a gap of 2^31 packets.
            if missing != 0 && missing < 1 << 31 {
                add(&mut statistics.uninspected, u64::from(missing));
                add(&mut statistics.overruns, 1);
            }
        }
        self.last = Some(packet.id);
        self.waiting.extend(self.newest.replace(packet.id));
    }

    /// Tells whether a verdict can be given.
    pub(super) fn check(&self, id: PacketId, disposition: Disposition<'_>) -> Result<(), QueueError> {
        if self.newest != Some(id.0) && !self.waiting.contains(&id.0) {
            return Err(QueueError::NotWaiting { number: self.number, id });
        }
        match disposition {
            Disposition::Replace { octets, .. } if octets.len() > limits::REPLACEMENT_BYTES => {
                Err(QueueError::TooLong { number: self.number, id, length: octets.len() })
            }
            _ => Ok(()),
        }
    }

    /// Enters a verdict that was given.
    pub(super) fn judge(&mut self, id: PacketId, disposition: Disposition<'_>) {
        if self.newest == Some(id.0) {
            self.newest = None;
        } else {
            self.waiting.remove(&id.0);
        }
        add(
            match disposition {
                Disposition::Accept { .. } => &mut self.statistics.accepted,
                Disposition::Replace { .. } => &mut self.statistics.replaced,
                Disposition::Drop => &mut self.statistics.dropped,
            },
            1,
        );
    }

    /// Enters an answer of the kernel, which it gives to verdicts that it refuses.
    pub(super) fn answer(&mut self, error: i32) -> Result<(), QueueError> {
        match error {
            0 => Ok(()),
            libc::EPERM => Err(QueueError::PermissionLost { number: self.number }),
            _ => {
                add(&mut self.statistics.refused_verdicts, 1);
                Ok(())
            }
        }
    }

    pub(super) fn outstanding(&self) -> usize {
        self.waiting.len().saturating_add(usize::from(self.newest.is_some()))
    }
}

impl PacketMessage {
    pub(super) const fn is_offloaded(&self) -> bool {
        self.information & libc::NFQA_SKB_GSO.cast_unsigned() != 0
    }

    pub(super) const fn is_checksum_ready(&self) -> bool {
        self.information & libc::NFQA_SKB_CSUMNOTREADY.cast_unsigned() == 0
    }
}

pub(super) fn add(counter: &mut u64, count: u64) {
    *counter = counter.saturating_add(count);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(id: u32) -> PacketMessage {
        PacketMessage { id, payload: 0..20, ..PacketMessage::default() }
    }

    #[test]
    fn gaps_are_counted_from_the_first_packet_and_over_the_end_of_numbers() {
        let mut ledger = Ledger::new(0);
        ledger.receive(&packet(3));
        assert_eq!((ledger.statistics.uninspected, ledger.statistics.overruns), (2, 1));
        ledger.receive(&packet(4));
        ledger.receive(&packet(104));
        assert_eq!((ledger.statistics.uninspected, ledger.statistics.overruns), (101, 2));
        let mut ledger = Ledger { last: Some(u32::MAX - 1), ..Ledger::new(0) };
        ledger.receive(&packet(u32::MAX));
        ledger.receive(&packet(0));
        ledger.receive(&packet(2));
        assert_eq!((ledger.statistics.uninspected, ledger.statistics.overruns), (1, 1));
    }

    #[test]
    fn each_packet_gets_one_verdict() {
        let mut ledger = Ledger::new(5);
        let accept = Disposition::Accept { mark: None };
        assert!(matches!(ledger.check(PacketId(1), accept), Err(QueueError::NotWaiting { .. })));
        ledger.receive(&packet(1));
        ledger.receive(&packet(2));
        ledger.check(PacketId(2), accept).unwrap();
        ledger.judge(PacketId(2), accept);
        assert!(matches!(ledger.check(PacketId(2), Disposition::Drop), Err(QueueError::NotWaiting { .. })));
        assert_eq!(ledger.outstanding(), 1);
        let octets = vec![0; limits::REPLACEMENT_BYTES + 1];
        let too_long = Disposition::Replace { octets: &octets, mark: None };
        assert!(matches!(ledger.check(PacketId(1), too_long), Err(QueueError::TooLong { length: 65_532, .. })));
        assert_eq!(ledger.outstanding(), 1);
    }

    #[test]
    fn only_the_loss_of_permission_is_fatal() {
        let mut ledger = Ledger::new(5);
        ledger.answer(0).unwrap();
        ledger.answer(libc::ENOENT).unwrap();
        assert_eq!(ledger.statistics.refused_verdicts, 1);
        assert!(matches!(ledger.answer(libc::EPERM), Err(QueueError::PermissionLost { number: 5 })));
    }
}
