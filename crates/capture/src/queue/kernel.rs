//! What the kernel counts, from /proc/net/netfilter/nfnetlink_queue.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The queues of the network namespace that the opening thread is in.
const PATH: &str = "/proc/thread-self/net/netfilter/nfnetlink_queue";

/// The longest such file that is read: 65,536 queues would have 5 MB; those that we use are few.
const LONGEST: usize = 64 << 10;

/// What the kernel says of one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelCounters {
    /// The queue.
    pub number: u16,
    /// The netlink port of the program that owns it, mostly its process number.
    pub owner: u32,
    /// How many packets wait: those not received yet, and those that were received and have no verdict.
    pub waiting: u32,
    /// How many were dropped because too many waited. With fail-open they pass, and are **not counted**.
    pub dropped_full: u32,
    /// How many were dropped because the receive buffer was full. With fail-open they pass, and are not counted here, but
    /// seen as gaps: [`super::QueueStatistics::uninspected`].
    pub dropped_unsent: u32,
    /// The number of the last packet: how many there were, modulo 2^32.
    pub last_id: u32,
}

/// The file, kept open so that it can be read when the file system no longer can.
#[derive(Debug)]
pub(super) struct KernelFile(File);

impl KernelFile {
    pub(super) fn open() -> io::Result<Self> {
        File::open(PATH).map(Self)
    }

    /// Reads what it says of a queue.
    pub(super) fn read(&self, number: u16) -> Option<KernelCounters> {
        let mut text = vec![0; LONGEST];
        let mut length = 0_usize;
        // The kernel makes the text anew for each read from the start, and gives a page at a time.
        while let Some(rest) = text.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, length as u64) {
                Ok(0) | Err(_) => break,
                Ok(count) => length = length.saturating_add(count),
            }
        }
        text.truncate(length);
        String::from_utf8_lossy(&text).lines().filter_map(read_line).find(|counters| counters.number == number)
    }
}

/// Tells who owns a queue.
pub(super) fn owner(number: u16) -> Option<u32> {
    Some(KernelFile::open().ok()?.read(number)?.owner)
}

/// Reads a line: queue, port, waiting, copy mode, copy range, dropped, dropped by the user's side, last number, 1.
fn read_line(line: &str) -> Option<KernelCounters> {
    let mut words = line.split_ascii_whitespace();
    Some(KernelCounters {
        number: words.next()?.parse().ok()?,
        owner: words.next()?.parse().ok()?,
        waiting: words.next()?.parse().ok()?,
        dropped_full: words.nth(2)?.parse().ok()?,
        dropped_unsent: words.next()?.parse().ok()?,
        last_id: words.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        let line = "    7   4242     3 2 65531     5     6      105  1";
        let expected =
            KernelCounters { number: 7, owner: 4242, waiting: 3, dropped_full: 5, dropped_unsent: 6, last_id: 105 };
        assert_eq!(read_line(line), Some(expected));
        assert_eq!(read_line("7 8 9"), None);
    }
}
