//! Packets of a network interface, as they pass: libpcap.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Instant;

use pcap::{Active, Capture, Precision};
use portcullis_wire::{LinkType, Timestamp};

use crate::error::CaptureError;
use crate::filter::{Filter, FilterError};
use crate::limits;
use crate::link;
use crate::options::Comments;
use crate::queue::Waker;
use crate::source::{Packet, PacketSource};
use crate::system::{self, Readiness};

/// How long the kernel collects packets before it hands them over, in milliseconds.
const COLLECT: i32 = 10;

/// How an interface is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSettings {
    /// The interface, as `ip link` names it, or `any`.
    pub interface: String,
    /// A filter expression of tcpdump, which the kernel runs; `None` for all packets.
    pub filter: Option<String>,
    /// Whether packets for others are captured too, as they come from a mirror port. Default: true.
    pub promiscuous: bool,
    /// The size of the buffer of the kernel, in bytes. Default: [`limits::LIVE_BUFFER_BYTES`].
    pub buffer: usize,
    /// How many octets of a packet are captured at most. Default: [`limits::PACKET_BYTES`], which cuts none.
    pub snapshot_length: u32,
}

impl LiveSettings {
    /// The defaults for an interface.
    #[must_use]
    pub fn new(interface: &str) -> Self {
        Self {
            interface: interface.to_owned(),
            filter: None,
            promiscuous: true,
            buffer: limits::LIVE_BUFFER_BYTES,
            snapshot_length: limits::PACKET_BYTES,
        }
    }
}

/// Why an interface cannot be captured from, or no more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// There is no such interface.
    #[error("cannot capture on interface {name:?}: there is no such interface here; there are: {}", known.join(", "))]
    Missing {
        /// The name.
        name: String,
        /// The interfaces that there are.
        known: Vec<String>,
    },

    /// The interface is down.
    #[error("cannot capture on interface {name:?}: it is down; bring it up with `ip link set {name} up`")]
    Down {
        /// The name.
        name: String,
    },

    /// The process may not capture.
    #[error(
        "cannot capture on interface {name:?}: the process lacks CAP_NET_RAW; run it as root, or give the program the capability with `setcap cap_net_raw+ep PROGRAM`"
    )]
    NotPermitted {
        /// The name.
        name: String,
    },

    /// Its packets are of a kind that is not read.
    #[error("cannot capture on interface {name:?}: its link type {number} ({kind}) is not read")]
    LinkType {
        /// The name.
        name: String,
        /// The number of the link type.
        number: i32,
        /// What it is, if it is known.
        kind: &'static str,
    },

    /// The filter is not valid.
    #[error(transparent)]
    Filter(#[from] FilterError),

    /// The interface has gone, or was taken down.
    #[error(
        "capturing on interface {name:?} has ended after {packets} packets: the interface has gone; start again when it is back"
    )]
    Gone {
        /// The name.
        name: String,
        /// How many packets were captured.
        packets: u64,
    },

    /// It failed for another reason.
    #[error("capturing on interface {name:?} failed after {packets} packets: {reason}")]
    Failed {
        /// The name.
        name: String,
        /// How many packets were captured.
        packets: u64,
        /// What libpcap says.
        reason: String,
    },
}

/// What [`LiveInterface::next_until`] returns.
#[derive(Debug)]
pub enum Captured<'a> {
    /// There is a packet.
    Packet(Packet<'a>),
    /// The deadline has come.
    Deadline,
    /// A [`Waker`] was used.
    Woken,
}

/// What was counted of an interface since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveStatistics {
    /// Packets that were handed out.
    pub received: u64,
    /// Packets that passed the filter and were lost because the buffer was full: they were **not inspected**. On the
    /// loopback each counts twice, as it is sent and received. Wraps at 2^32.
    pub dropped: u64,
    /// Packets that the interface or its driver lost, where it tells. Wraps at 2^32.
    pub dropped_by_interface: u64,
}

/// A network interface that is captured from.
///
/// Packets are taken from those that pass; nothing is held or changed. An interface that is taken down and up again goes on; one that is
/// removed ends with [`LiveError::Gone`].
pub struct LiveInterface {
    name: String,
    capture: Capture<Active>,
    link: LinkType,
    waker: Waker,
    /// The packet that was handed out last.
    buffer: Vec<u8>,
    count: u64,
    finished: bool,
}

impl LiveInterface {
    /// Opens an interface. It is one of the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// Fails if there is none of this name, if it is down, if the process may not capture, if its link type is not read, and if
    /// the filter is not valid.
    pub fn open(settings: &LiveSettings) -> Result<Self, LiveError> {
        let name = settings.interface.clone();
        let known = interfaces();
        if name != "any" && !known.is_empty() && !known.contains(&name) {
            return Err(LiveError::Missing { name, known });
        }
        let failed = |error: pcap::Error| open_error(&settings.interface, &error);
        let mut capture = Capture::from_device(settings.interface.as_str())
            .map_err(failed)?
            .promisc(settings.promiscuous)
            .snaplen(i32::try_from(settings.snapshot_length).unwrap_or(i32::MAX))
            .buffer_size(i32::try_from(settings.buffer).unwrap_or(i32::MAX))
            .timeout(COLLECT)
            .precision(Precision::Nano)
            .open()
            .map_err(failed)?;
        let number = capture.get_datalink().0;
        let link = u16::try_from(number).ok().and_then(LinkType::from_dlt);
        let Some(link) = link else {
            let kind = link::name_of_unknown(number.cast_unsigned());
            return Err(LiveError::LinkType { name, number, kind });
        };
        if let Some(expression) = &settings.filter {
            // Compiled apart first, for the error.
            Filter::compile(expression, link)?;
            capture.filter(expression, true).map_err(failed)?;
        }
        let waker = Waker::new().map_err(|error| LiveError::Failed {
            name: name.clone(),
            packets: 0,
            reason: format!("making an eventfd failed: {error}"),
        })?;
        let capture = capture.setnonblock().map_err(failed)?;
        Ok(Self { name, capture, link, waker, buffer: Vec::new(), count: 0, finished: false })
    }

    /// Waits for the next packet, until the deadline at most; without one, until there is a packet or it is woken.
    ///
    /// # Errors
    ///
    /// Fails if the interface has gone, and for other failures of libpcap. Nothing follows then.
    pub fn next_until(&mut self, deadline: Option<Instant>) -> Result<Captured<'_>, LiveError> {
        let (timestamp, original_length) = loop {
            if self.waker.take() {
                return Ok(Captured::Woken);
            }
            match self.capture.next_packet() {
                Ok(packet) => {
                    self.buffer.clear();
                    self.buffer.extend_from_slice(packet.data);
                    // The fraction is nanoseconds, as asked for.
                    let nanoseconds = u32::try_from(packet.header.ts.tv_usec).unwrap_or_default();
                    break (Timestamp::from_parts(packet.header.ts.tv_sec, nanoseconds), packet.header.len);
                }
                Err(pcap::Error::TimeoutExpired) => {}
                Err(error) => {
                    self.finished = true;
                    return Err(self.failure(&error));
                }
            }
            // SAFETY: the descriptor is the capture's, which lives as long as `self`.
            #[expect(unsafe_code, reason = "the crate gives its descriptor as a number")]
            let descriptor = unsafe { BorrowedFd::borrow_raw(self.capture.as_raw_fd()) };
            match system::wait(descriptor, self.waker.as_fd(), deadline) {
                Ok(Readiness::First) => {}
                Ok(Readiness::Second) if self.waker.take() => return Ok(Captured::Woken),
                Ok(Readiness::Second) => self.waker.clear(),
                Ok(Readiness::Deadline) => return Ok(Captured::Deadline),
                Err(error) => {
                    self.finished = true;
                    let (name, packets) = (self.name.clone(), self.count);
                    return Err(LiveError::Failed { name, packets, reason: format!("waiting failed: {error}") });
                }
            }
        };
        self.count = self.count.saturating_add(1);
        Ok(Captured::Packet(Packet {
            number: self.count,
            timestamp,
            link: self.link,
            data: &self.buffer,
            original_length,
            interface: 0,
            file: 0,
            number_in_file: self.count,
            comments: Comments::default(),
        }))
    }

    fn failure(&self, error: &pcap::Error) -> LiveError {
        let (name, packets) = (self.name.clone(), self.count);
        let reason = message(error);
        let known = interfaces();
        // In a sandbox there may be nobody to ask but libpcap.
        let gone = if known.is_empty() { reason.contains("disappeared") } else { !known.contains(&name) };
        if gone && name != "any" {
            return LiveError::Gone { name, packets };
        }
        LiveError::Failed { name, packets, reason }
    }

    /// The link type of its packets.
    #[must_use]
    pub const fn link(&self) -> LinkType {
        self.link
    }

    /// What ends the waiting of the thread that receives.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// What was counted since it was opened; asks the kernel.
    pub fn statistics(&mut self) -> LiveStatistics {
        let received = self.count;
        match self.capture.stats() {
            Ok(counters) => LiveStatistics {
                received,
                dropped: counters.dropped.into(),
                dropped_by_interface: counters.if_dropped.into(),
            },
            Err(_) => LiveStatistics { received, ..LiveStatistics::default() },
        }
    }
}

impl PacketSource for LiveInterface {
    /// Waits for the next packet; `None` when it is woken, and after an error.
    fn next(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        if self.finished {
            return Ok(None);
        }
        match self.next_until(None)? {
            Captured::Packet(packet) => Ok(Some(packet)),
            Captured::Deadline | Captured::Woken => Ok(None),
        }
    }
}

impl std::fmt::Debug for LiveInterface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveInterface").field("name", &self.name).field("count", &self.count).finish_non_exhaustive()
    }
}

/// The interfaces of the network namespace of this thread; none if they cannot be read, as there is always the loopback.
fn interfaces() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    text.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

fn open_error(name: &str, error: &pcap::Error) -> LiveError {
    let name = name.to_owned();
    let reason = message(error);
    // libpcap gives texts only; these it has for its error codes since version 1.0.
    if reason.contains("not up") {
        return LiveError::Down { name };
    }
    if reason.contains("ermission") || reason.contains("not permitted") {
        return LiveError::NotPermitted { name };
    }
    LiveError::Failed { name, packets: 0, reason }
}

fn message(error: &pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(message) => message.clone(),
        other => other.to_string(),
    }
}
