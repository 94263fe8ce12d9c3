//! The backend that uses the crate `nfq`: one packet and one verdict for each system call.
//!
//! The crate keeps its descriptor to itself. It is found as the one netlink socket of netfilter that was not there before, and
//! then given the receive buffer, and waited on. Waiting packets keep the crate's buffer of 68 KiB each.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::Instant;

use nfq::{Queue, Verdict};

use super::kernel::KernelFile;
use super::ledger::{Ledger, add};
use super::message::PacketMessage;
use super::netlink::now;
use super::{
    Disposition, KernelCounters, PacketId, PacketQueue, QueueError, QueueSettings, QueueStatistics, Queued, Received,
    Waker, open_error,
};
use crate::system::{self, Readiness};

/// A queue over the crate `nfq`.
pub(super) struct NfqQueue {
    number: u16,
    queue: Queue,
    /// A duplicate of the crate's descriptor: it is ours to close, whatever the crate does with its own.
    socket: OwnedFd,
    waker: Waker,
    kernel: Option<KernelFile>,
    ledger: Ledger,
    waiting: HashMap<u32, nfq::Message, ahash::RandomState>,
}

impl NfqQueue {
    pub(super) fn open(settings: &QueueSettings) -> Result<Self, QueueError> {
        let number = settings.number;
        let failed = |step: &'static str| move |source: io::Error| open_error(number, step, source);
        let (mut queue, socket) = open_and_find().map_err(failed("opening a netlink socket"))?;
        super::set_receive_buffer(number, socket.as_fd(), settings.receive_buffer)?;
        queue.bind(number).map_err(failed("binding the queue"))?;
        queue.set_queue_max_len(number, settings.length).map_err(failed("setting the length"))?;
        let offload = settings.segmentation_offload;
        queue.set_recv_gso(number, offload).map_err(failed("setting segmentation offload"))?;
        queue.set_fail_open(number, settings.fail_open).map_err(failed("setting fail-open"))?;
        let copy_range = u16::try_from(settings.copy_range).unwrap_or(u16::MAX);
        queue.set_copy_range(number, copy_range).map_err(failed("setting the copy range"))?;
        // It concerns receiving only; verdicts are sent blocking, as one that cannot be sent would be lost.
        queue.set_nonblocking(true);
        Ok(Self {
            number,
            queue,
            socket,
            waker: Waker::new().map_err(failed("making an eventfd"))?,
            kernel: KernelFile::open().ok(),
            ledger: Ledger::new(number),
            waiting: HashMap::default(),
        })
    }
}

impl PacketQueue for NfqQueue {
    fn receive(&mut self, deadline: Option<Instant>) -> Result<Received<'_>, QueueError> {
        let number = self.number;
        let message = loop {
            if self.waker.take() {
                return Ok(Received::Woken);
            }
            match self.queue.recv() {
                Ok(message) => break message,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let failed = |source| QueueError::Receive { number, source };
                    match system::wait(self.socket.as_fd(), self.waker.as_fd(), deadline).map_err(failed)? {
                        Readiness::First => {}
                        Readiness::Second if self.waker.take() => return Ok(Received::Woken),
                        Readiness::Second => self.waker.clear(),
                        Readiness::Deadline => return Ok(Received::Deadline),
                    }
                }
                Err(error) => match (error.kind(), error.raw_os_error()) {
                    (io::ErrorKind::Interrupted, _) | (_, Some(libc::ENOBUFS)) => {}
                    // The crate's way to say that a message was longer than its buffer.
                    (_, Some(libc::ENOSPC)) => add(&mut self.ledger.statistics.damaged_messages, 1),
                    (_, Some(number @ (libc::EPERM | libc::ENOENT | libc::EINVAL))) => self.ledger.answer(number)?,
                    _ => return Err(QueueError::Receive { number, source: error }),
                },
            }
        };
        add(&mut self.ledger.statistics.receive_calls, 1);
        let length = message.get_payload().len();
        let flag = |set, flag: i32| if set { flag.cast_unsigned() } else { 0 };
        let packet = PacketMessage {
            id: message.get_packet_id(),
            hook: message.get_hook(),
            mark: message.get_nfmark(),
            input: message.get_indev(),
            output: message.get_outdev(),
            original_length: u32::try_from(message.get_original_len()).ok(),
            information: flag(message.is_seg_offloaded(), libc::NFQA_SKB_GSO)
                | flag(!message.is_checksum_ready(), libc::NFQA_SKB_CSUMNOTREADY),
            payload: 0..length,
        };
        self.ledger.receive(&packet);
        let message = self.waiting.entry(packet.id).insert_entry(message).into_mut();
        Ok(Received::Packet(Queued::new(&packet, message.get_payload(), now())))
    }

    fn verdict(&mut self, id: PacketId, disposition: Disposition<'_>) -> Result<(), QueueError> {
        self.ledger.check(id, disposition)?;
        let Some(mut message) = self.waiting.remove(&id.0) else {
            return Err(QueueError::NotWaiting { number: self.number, id });
        };
        let mark = match disposition {
            Disposition::Accept { mark } => mark,
            Disposition::Replace { octets, mark } => {
                message.set_payload(octets);
                mark
            }
            Disposition::Drop => None,
        };
        message.set_verdict(if disposition == Disposition::Drop { Verdict::Drop } else { Verdict::Accept });
        if let Some(mark) = mark {
            message.set_nfmark(mark);
        }
        self.ledger.judge(id, disposition);
        add(&mut self.ledger.statistics.send_calls, 1);
        self.queue.verdict(message).map_err(|source| QueueError::Send { number: self.number, source })
    }

    fn flush(&mut self) -> Result<(), QueueError> {
        Ok(())
    }

    fn number(&self) -> u16 {
        self.number
    }

    fn outstanding(&self) -> usize {
        self.ledger.outstanding()
    }

    fn statistics(&self) -> QueueStatistics {
        self.ledger.statistics
    }

    fn kernel_counters(&self) -> Option<KernelCounters> {
        self.kernel.as_ref()?.read(self.number)
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }
}

impl Drop for NfqQueue {
    fn drop(&mut self) {
        // Closing does it too, but not while a program that is just being started still has the descriptor.
        let _ = self.queue.unbind(self.number);
    }
}

/// Opens the crate's queue and duplicates its descriptor. No other queue may be opened meanwhile.
fn open_and_find() -> io::Result<(Queue, OwnedFd)> {
    let before = sockets()?;
    let queue = Queue::open()?;
    for (fd, name) in sockets()? {
        if before.iter().any(|(_, known)| *known == name) {
            continue;
        }
        // SAFETY: it was open when the directory was read. Should another thread have closed it since, or opened something else in its
        // place, the options below tell that it is not what is looked for; nothing else is done with it.
        #[expect(unsafe_code, reason = "the crate does not give its descriptor")]
        let candidate = unsafe { BorrowedFd::borrow_raw(fd) };
        if system::option(candidate, libc::SOL_SOCKET, libc::SO_DOMAIN).ok() == Some(libc::AF_NETLINK)
            && system::option(candidate, libc::SOL_SOCKET, libc::SO_PROTOCOL).ok() == Some(libc::NETLINK_NETFILTER)
        {
            // The crate leaves it open for programs that are started.
            system::close_on_exec(candidate)?;
            return Ok((queue, candidate.try_clone_to_owned()?));
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "the descriptor of the queue is not in /proc/self/fd"))
}

/// The descriptors of this process that are sockets, each with the name by which it differs from all others: numbers of
/// descriptors are used again, also while this reads them.
fn sockets() -> io::Result<Vec<(RawFd, PathBuf)>> {
    Ok(std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let number = path.file_name()?.to_str()?.parse().ok()?;
            let name = std::fs::read_link(&path).ok()?;
            name.to_str()?.starts_with("socket:").then_some((number, name))
        })
        .collect())
}
