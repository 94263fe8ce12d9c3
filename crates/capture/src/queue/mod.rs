//! Queues of packets that the kernel holds until they are judged: NFQUEUE.
//!
//! A firewall rule (`-j NFQUEUE --queue-num 7`) sends packets to a queue, a program binds the queue, is handed each packet
//! from its IP header on, and answers with a verdict: accept, drop, or accept with other octets. Verdicts may be given in any
//! order and at any time; until then the packet waits in the kernel.
//!
//! - [`PacketQueue`] is what the backends share. One worker thread owns one queue; `--queue-balance` of the rule keeps both
//!   directions of a flow in one queue.
//! - [`open`] binds a queue with [`QueueSettings`]. The firewall rule must be made after that: what arrives before is lost
//!   (or passes, with `--queue-bypass`).
//! - [`Queued`] is a packet, borrowed until the next is asked for; [`Disposition`] is what is to become of it.
//! - [`Waker`] ends the waiting of a worker from another thread.
//! - [`QueueStatistics`] counts. **What the kernel could not hand over is counted as `uninspected`**: it shows only as a gap
//!   in the numbers of packets, the counters of the kernel stay at zero when the queue fails open.
//!
//! ```no_run
//! use std::time::{Duration, Instant};
//!
//! use portcullis_capture::queue::{self, Disposition, QueueSettings, Received};
//!
//! let mut queue = queue::open(&QueueSettings::new(7))?;
//! loop {
//!     let id = match queue.receive(Some(Instant::now() + Duration::from_millis(100)))? {
//!         Received::Packet(packet) => packet.id,
//!         Received::Deadline => continue, // time for timers
//!         Received::Woken => break,
//!     };
//!     queue.verdict(id, Disposition::Accept { mark: None })?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod kernel;
mod ledger;
mod message;
mod netlink;
mod nfq;
mod settings;
mod statistics;
mod waker;

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use portcullis_wire::Timestamp;

use crate::system;

pub use error::QueueError;
pub use kernel::KernelCounters;
pub use settings::{Backend, QueueSettings};
pub use statistics::QueueStatistics;
pub use waker::Waker;

/// A queue of packets that wait for a verdict.
///
/// When it is dropped the queue is unbound, and the kernel drops what still waits in it; with `--queue-bypass` in the
/// firewall rule, what comes later passes. So a worker that ends in order gives its verdicts first.
pub trait PacketQueue: Send {
    /// Waits for the next packet, until the deadline at most; without one, until there is a packet or it is woken.
    ///
    /// All verdicts that were given before are with the kernel when it waits, and no later than when it asks the kernel for
    /// more packets.
    /// A deadline that has passed still gives a packet that is there.
    ///
    /// # Errors
    ///
    /// Fails if the kernel has taken the queue away or refuses verdicts ([`QueueError::PermissionLost`]). An interrupting
    /// signal is no error, and neither is an overrun of the receive buffer: it is counted.
    fn receive(&mut self, deadline: Option<Instant>) -> Result<Received<'_>, QueueError>;

    /// Gives the verdict on a packet. It may be sent later, together with others: [`PacketQueue::flush`] sends it at once.
    ///
    /// # Errors
    ///
    /// Fails if no packet of this number waits for a verdict (each gets exactly one), if the octets are too many
    /// ([`crate::limits::REPLACEMENT_BYTES`]; the packet still waits then), or if sending fails.
    fn verdict(&mut self, id: PacketId, disposition: Disposition<'_>) -> Result<(), QueueError>;

    /// Sends the verdicts that were not sent yet. Needed only where a packet is not asked for soon.
    ///
    /// # Errors
    ///
    /// Fails if sending fails.
    fn flush(&mut self) -> Result<(), QueueError>;

    /// The number of the queue.
    fn number(&self) -> u16;

    /// How many packets wait for a verdict of ours.
    fn outstanding(&self) -> usize;

    /// What was counted since the queue was opened.
    fn statistics(&self) -> QueueStatistics;

    /// What the kernel counts, which costs reading a file; `None` if it cannot be read.
    fn kernel_counters(&self) -> Option<KernelCounters>;

    /// What ends the waiting of the thread that receives.
    fn waker(&self) -> Waker;
}

/// Binds a queue.
///
/// It is in the network namespace of the thread that calls this, whichever thread uses it later.
///
/// # Errors
///
/// Fails with what is wrong and what mends it: a setting out of range, CAP_NET_ADMIN missing, a queue that somebody else owns, a
/// kernel without NFQUEUE.
pub fn open(settings: &QueueSettings) -> Result<Box<dyn PacketQueue>, QueueError> {
    settings.check()?;
    let _guard = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(match settings.backend {
        Backend::Netlink => Box::new(netlink::NetlinkQueue::open(settings)?),
        Backend::Nfq => Box::new(nfq::NfqQueue::open(settings)?),
    })
}

/// Held while a queue is opened: the backend `nfq` finds its descriptor as the one that was not there before.
static OPENING: Mutex<()> = Mutex::new(());

/// Gives a queue's socket its receive buffer, regardless of the system's maximum.
fn set_receive_buffer(number: u16, socket: BorrowedFd<'_>, size: usize) -> Result<(), QueueError> {
    let size = i32::try_from(size).unwrap_or(i32::MAX);
    system::set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, size)
        .map_err(|error| open_error(number, "setting the receive buffer (SO_RCVBUFFORCE)", error))
}

/// Finds out what an error means: the kernel says EPERM for two things, and EINVAL for what it does not know at all.
fn open_error(number: u16, step: &'static str, source: io::Error) -> QueueError {
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EBUSY) => {
            let permitted = caps::has_cap(None, caps::CapSet::Effective, caps::Capability::CAP_NET_ADMIN);
            let owner = kernel::owner(number);
            match (permitted, owner) {
                (Ok(false), _) => QueueError::NotPermitted { number },
                (_, Some(_)) => QueueError::InUse { number, owner },
                // Inside a user namespace the capability may be there and not count.
                _ if source.raw_os_error() == Some(libc::EPERM) => QueueError::NotPermitted { number },
                _ => QueueError::InUse { number, owner: None },
            }
        }
        Some(libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::EINVAL) => QueueError::Unsupported { number },
        _ => QueueError::Open { number, step, source },
    }
}

/// The number of a packet in its queue, given by the kernel: one more than that of the packet before, wrapping at 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PacketId(pub u32);

/// Why [`PacketQueue::receive`] returned.
#[derive(Debug)]
pub enum Received<'a> {
    /// There is a packet, which now waits for its verdict.
    Packet(Queued<'a>),
    /// The deadline has come.
    Deadline,
    /// A [`Waker`] was used. Uses that came before this was returned count as one.
    Woken,
}

/// A packet that waits in the kernel for its verdict.
#[derive(Clone, Copy, Debug)]
pub struct Queued<'a> {
    /// What its verdict is given with.
    pub id: PacketId,
    /// The octets from the IP header on. With segmentation offload one "packet" is up to 65,531 octets long and stands
    /// for several of the wire.
    pub data: &'a [u8],
    /// How many octets it has in the kernel: more than `data` if it is longer than can be copied. What is not here cannot be
    /// inspected.
    pub original_length: u32,
    /// The packet mark (`nfmark`) that it has.
    pub mark: u32,
    /// Whether the transport checksum is in the packet. It is not where the network card, or the kernel of this machine,
    /// is to compute it later: do not verify it then. A [`Disposition::Replace`] has to bring a right one in any case.
    pub checksum_ready: bool,
    /// Whether it stands for several segments of the wire (GSO or GRO).
    pub offloaded: bool,
    /// When it was received, by the wall clock of this machine.
    pub time: Timestamp,
    /// The index of the interface it came in by; 0 if it was sent by this machine.
    pub input: u32,
    /// The index of the interface it goes out by; 0 where that is not decided yet.
    pub output: u32,
    /// The netfilter hook that it waits in: 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting.
    pub hook: u8,
}

impl<'a> Queued<'a> {
    fn new(packet: &message::PacketMessage, data: &'a [u8], time: Timestamp) -> Self {
        Self {
            id: PacketId(packet.id),
            data,
            original_length: packet.original_length.unwrap_or_else(|| u32::try_from(data.len()).unwrap_or(u32::MAX)),
            mark: packet.mark,
            checksum_ready: packet.is_checksum_ready(),
            offloaded: packet.is_offloaded(),
            time,
            input: packet.input,
            output: packet.output,
            hook: packet.hook,
        }
    }

    /// Whether the packet is longer than what was copied: it cannot be inspected as a whole.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        usize::try_from(self.original_length).unwrap_or(usize::MAX) > self.data.len()
    }
}

/// What is to become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition<'a> {
    /// It goes on as it is, with another mark if one is given.
    Accept {
        /// The new packet mark (`nfmark`).
        mark: Option<u32>,
    },
    /// Other octets go on in its place.
    ///
    /// The kernel routes them as it would have routed the packet. It cuts an `offloaded` packet into segments of the size that it
    /// had before, and **loses one that is no longer than such a segment** (that is, which has become shorter than the MTU): drop it then,
    /// and inject a packet.
    Replace {
        /// The whole packet from the IP header on, with right lengths and checksums; at most
        /// [`crate::limits::REPLACEMENT_BYTES`].
        octets: &'a [u8],
        /// The new packet mark (`nfmark`).
        mark: Option<u32>,
    },
    /// It goes no further, and nobody is told.
    Drop,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_a_kernel_without_queues_say_so() {
        for code in [libc::EPROTONOSUPPORT, libc::EAFNOSUPPORT, libc::EINVAL] {
            let error = open_error(3, "opening", io::Error::from_raw_os_error(code));
            assert!(matches!(error, QueueError::Unsupported { number: 3 }), "{error:?}");
            assert!(error.to_string().contains("modprobe nfnetlink_queue"), "{error}");
        }
        let error = open_error(3, "opening a netlink socket", io::Error::from_raw_os_error(libc::EMFILE));
        assert!(
            error.to_string().starts_with("queue 3 cannot be opened: opening a netlink socket failed: "),
            "{error}"
        );
    }
}
