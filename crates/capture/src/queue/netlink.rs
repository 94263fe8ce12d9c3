//! The backend of our own: recvmmsg(2) for many packets, one send(2) for many verdicts.
//!
//! A netlink socket costs a system call for each packet and another for each verdict unless they are put together, and that
//! is most of the work of an inline program. So packets are received as many as there are, and verdicts are collected until all
//! of these have been handed out, which is never longer than the batch: nothing waits for a packet that may not come. Only when
//! there is nothing to receive it waits with ppoll(2).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use portcullis_wire::Timestamp;

use super::kernel::KernelFile;
use super::ledger::{Ledger, add};
use super::message::{self, Message, PacketMessage};
use super::{
    Disposition, KernelCounters, PacketId, PacketQueue, QueueError, QueueSettings, QueueStatistics, Queued, Received,
    Waker, open_error,
};
use crate::limits;
use crate::system::{self, Datagram, Readiness};

/// What a message has besides the octets of the packet, at most: far less than this.
const METADATA: usize = 1024;

/// How many octets of verdicts are collected at most, if no single one is larger.
const VERDICTS: usize = 128 << 10;

/// How many octets of packets are handed out before their verdicts are sent, though there are more packets of the batch: with
/// segmentation offload a batch would be a megabyte, for whose first octets the receiver waits.
const HANDED_OUT: usize = 128 << 10;

/// The size of the send buffer: what one send may have at most.
const SEND_BUFFER: i32 = 512 << 10;

/// A queue over a netlink socket.
pub(super) struct NetlinkQueue {
    number: u16,
    socket: OwnedFd,
    waker: Waker,
    kernel: Option<KernelFile>,
    ledger: Ledger,
    batch: usize,
    /// Room for `batch` datagrams of `stride` octets.
    buffer: Vec<u8>,
    stride: usize,
    /// What the buffer holds: the first `filled` are those received last.
    datagrams: Vec<Datagram>,
    filled: usize,
    /// The datagram that is read, and where in it.
    current: usize,
    at: usize,
    time: Timestamp,
    /// Whether the last receiving filled all places, so that there are more packets for sure.
    more: bool,
    /// Verdicts not sent yet.
    verdicts: Vec<u8>,
    verdict_count: usize,
    /// Octets of packets that were handed out since verdicts were sent.
    handed_out: usize,
}

impl NetlinkQueue {
    pub(super) fn open(settings: &QueueSettings) -> Result<Self, QueueError> {
        let number = settings.number;
        let failed = |step: &'static str| move |source: io::Error| open_error(number, step, source);
        let socket = system::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER)
            .map_err(failed("opening a netlink socket"))?;
        system::bind_netlink(socket.as_fd()).map_err(failed("binding the netlink socket"))?;
        super::set_receive_buffer(number, socket.as_fd(), settings.receive_buffer)?;
        let set = |level, name, value| system::set_option(socket.as_fd(), level, name, value);
        set(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, SEND_BUFFER).map_err(failed("setting the send buffer"))?;
        // Otherwise an overrun makes the socket refuse packets until it is empty, and says no more than the gaps do.
        set(libc::SOL_NETLINK, libc::NETLINK_NO_ENOBUFS, 1).map_err(failed("setting NETLINK_NO_ENOBUFS"))?;
        let batch = settings.batch;
        let stride = usize::try_from(settings.copy_range).unwrap_or_default().saturating_add(METADATA);
        let mut queue = Self {
            number,
            socket,
            waker: Waker::new().map_err(failed("making an eventfd"))?,
            kernel: None,
            ledger: Ledger::new(number),
            batch,
            buffer: vec![0; stride.saturating_mul(batch)],
            stride,
            datagrams: vec![Datagram::default(); batch],
            filled: 0,
            current: 0,
            at: 0,
            time: Timestamp::default(),
            more: false,
            verdicts: Vec::with_capacity(4096),
            verdict_count: 0,
            handed_out: 0,
        };
        queue.configure(settings)?;
        queue.kernel = KernelFile::open().ok();
        Ok(queue)
    }

    /// Binds the queue, then lets packets come. In between there can be none, so the answer to the first is not behind any.
    fn configure(&mut self, settings: &QueueSettings) -> Result<(), QueueError> {
        let number = self.number;
        let mut request = Vec::with_capacity(64);
        message::write_bind(&mut request, settings);
        system::send(self.socket.as_fd(), &request).map_err(|error| open_error(number, "binding the queue", error))?;
        loop {
            // The kernel answers while it takes the request.
            let filled = self.fill().map_err(|error| open_error(number, "reading the kernel's answer", error))?;
            if filled == 0 {
                let error = io::Error::from(io::ErrorKind::TimedOut);
                return Err(open_error(number, "waiting for the kernel's answer", error));
            }
            while let Some(message) = self.next_message() {
                match message {
                    Message::Answer(0) => {
                        request.clear();
                        message::write_start(&mut request, settings);
                        return system::send(self.socket.as_fd(), &request)
                            .map(|_| ())
                            .map_err(|error| open_error(number, "starting the queue", error));
                    }
                    Message::Answer(error) => {
                        return Err(open_error(number, "binding the queue", io::Error::from_raw_os_error(error)));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Receives what is there. Returns how many datagrams, 0 if there are none.
    fn fill(&mut self) -> io::Result<usize> {
        self.current = 0;
        self.at = 0;
        self.filled = 0;
        loop {
            match system::receive_many(self.socket.as_fd(), &mut self.buffer, self.stride, &mut self.datagrams) {
                Ok(count) => {
                    self.filled = count;
                    self.more = count == self.batch;
                    self.time = now();
                    add(&mut self.ledger.statistics.receive_calls, 1);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.more = false;
                    return Ok(0);
                }
                // An overrun is told by the gap that it leaves.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next message of those received; the payload of a packet is a range of `buffer`.
    fn next_message(&mut self) -> Option<Message> {
        while self.current < self.filled {
            let datagram = self.datagrams.get(self.current).copied().unwrap_or_default();
            let start = self.current.saturating_mul(self.stride);
            let octets = self.buffer.get(start..start.saturating_add(datagram.length)).unwrap_or_default();
            let found = if datagram.cut && self.at == 0 {
                Some((Message::Damaged, octets.len()))
            } else {
                message::read(octets, self.at)
            };
            let Some((mut message, next)) = found else {
                self.current = self.current.saturating_add(1);
                self.at = 0;
                continue;
            };
            self.at = next;
            if let Message::Packet(packet) = &mut message {
                packet.payload.start = packet.payload.start.saturating_add(start);
                packet.payload.end = packet.payload.end.saturating_add(start);
            }
            return Some(message);
        }
        None
    }

    /// The next packet of those received.
    fn next_packet(&mut self) -> Result<Option<PacketMessage>, QueueError> {
        while let Some(message) = self.next_message() {
            match message {
                Message::Packet(packet) => return Ok(Some(packet)),
                Message::Answer(error) => self.ledger.answer(error)?,
                Message::Damaged => add(&mut self.ledger.statistics.damaged_messages, 1),
                Message::Other => {}
            }
        }
        Ok(None)
    }
}

impl PacketQueue for NetlinkQueue {
    fn receive(&mut self, deadline: Option<Instant>) -> Result<Received<'_>, QueueError> {
        let number = self.number;
        let failed = |source| QueueError::Receive { number, source };
        let packet = loop {
            if let Some(packet) = self.next_packet()? {
                break packet;
            }
            self.flush()?;
            if self.waker.take() {
                return Ok(Received::Woken);
            }
            // Under load there mostly is something, and asking first whether there is would be a system call more.
            if !self.more && self.fill().map_err(failed)? > 0 {
                continue;
            }
            if !self.more {
                match system::wait(self.socket.as_fd(), self.waker.as_fd(), deadline).map_err(failed)? {
                    Readiness::First => {}
                    Readiness::Second if self.waker.take() => return Ok(Received::Woken),
                    Readiness::Second => {
                        self.waker.clear();
                        continue;
                    }
                    Readiness::Deadline => return Ok(Received::Deadline),
                }
            }
            self.fill().map_err(failed)?;
        };
        self.ledger.receive(&packet);
        self.handed_out = self.handed_out.saturating_add(packet.payload.len());
        let data = self.buffer.get(packet.payload.clone()).unwrap_or_default();
        Ok(Received::Packet(Queued::new(&packet, data, self.time)))
    }

    fn verdict(&mut self, id: PacketId, disposition: Disposition<'_>) -> Result<(), QueueError> {
        self.ledger.check(id, disposition)?;
        let needed = message::verdict_length(disposition);
        if self.verdicts.len().saturating_add(needed) > VERDICTS || self.verdict_count >= limits::BATCH_PACKETS {
            self.flush()?;
        }
        message::write_verdict(&mut self.verdicts, self.number, id, disposition);
        self.verdict_count = self.verdict_count.saturating_add(1);
        self.ledger.judge(id, disposition);
        if self.verdict_count >= self.batch || self.handed_out >= HANDED_OUT { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), QueueError> {
        if self.verdicts.is_empty() {
            return Ok(());
        }
        loop {
            match system::send(self.socket.as_fd(), &self.verdicts) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(QueueError::Send { number: self.number, source }),
            }
        }
        add(&mut self.ledger.statistics.send_calls, 1);
        self.verdicts.clear();
        self.verdict_count = 0;
        self.handed_out = 0;
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

impl Drop for NetlinkQueue {
    fn drop(&mut self) {
        // Verdicts that were given are given also if the worker ends right after. Nobody is left to be told of failures.
        let _ = self.flush();
        // Closing does it too, but not while a program that is just being started still has the descriptor.
        let mut request = Vec::with_capacity(32);
        message::write_unbind(&mut request, self.number);
        let _ = system::send(self.socket.as_fd(), &request);
    }
}

/// The wall clock.
pub(super) fn now() -> Timestamp {
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    Timestamp::from_nanos(i64::try_from(nanoseconds).unwrap_or(i64::MAX))
}
