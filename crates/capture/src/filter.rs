//! Filters in the language of tcpdump (pcap-filter(7)), compiled and run by libpcap.

use std::io::Write;
use std::os::fd::IntoRawFd;

use pcap::{BpfProgram, Capture, Offline};
use portcullis_wire::LinkType;

use crate::limits;
use crate::source::Packet;

/// A filter expression that libpcap does not accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the filter {expression:?} cannot be used for {link} packets: {reason}; pcap-filter(7) describes the language")]
pub struct FilterError {
    /// The expression.
    pub expression: String,
    /// The link type that it was compiled for.
    pub link: &'static str,
    /// What libpcap says.
    pub reason: String,
}

/// A filter expression compiled for one link type.
///
/// Host names in the expression are looked up when it is compiled, as tcpdump does.
pub struct Filter {
    program: BpfProgram,
    /// For BSD loopback, whose first four bytes are in the order of the machine that captured: the program for the
    /// other order.
    swapped: Option<BpfProgram>,
    link: LinkType,
}

impl Filter {
    /// Compiles an expression; the empty one accepts everything.
    ///
    /// # Errors
    ///
    /// Fails with libpcap's message if the expression is not valid, or not for this link type.
    pub fn compile(expression: &str, link: LinkType) -> Result<Self, FilterError> {
        let failed = |reason: String| FilterError { expression: expression.to_owned(), link: link.name(), reason };
        let compile = |swapped| {
            empty_capture(link, swapped)
                .and_then(|capture| capture.compile(expression, true))
                .map_err(|error| failed(plain_message(error)))
        };
        let program = compile(false)?;
        let swapped = if link == LinkType::Null { Some(compile(true)?) } else { None };
        Ok(Self { program, swapped, link })
    }

    /// Tells whether a packet matches, given all bytes from the link layer on that were captured.
    ///
    /// The length that `len`, `less` and `greater` compare is that of `data`: what the capture cut off does not count.
    #[must_use]
    pub fn matches(&self, data: &[u8]) -> bool {
        match (&self.swapped, data.first_chunk::<4>()) {
            // Numbers of address families are small, read in the wrong order they are large.
            (Some(swapped), Some(family)) if u32::from_ne_bytes(*family) > 0xffff => swapped.filter(data),
            _ => self.program.filter(data),
        }
    }

    /// The link type that it was compiled for.
    #[must_use]
    pub const fn link(&self) -> LinkType {
        self.link
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter").field("link", &self.link).finish_non_exhaustive()
    }
}

/// A filter expression for packets of whatever link types, compiled once for each.
#[derive(Debug)]
pub struct FilterSet {
    expression: String,
    filters: Vec<Filter>,
}

impl FilterSet {
    /// Compiles an expression for the link types that are known to come; others are added when they come.
    ///
    /// # Errors
    ///
    /// Fails if the expression is not valid for one of them.
    pub fn compile(expression: &str, links: &[LinkType]) -> Result<Self, FilterError> {
        let mut set = Self { expression: expression.to_owned(), filters: Vec::with_capacity(links.len()) };
        for link in links {
            set.filter(*link)?;
        }
        Ok(set)
    }

    /// Tells whether a packet matches.
    ///
    /// # Errors
    ///
    /// Fails if the packet is the first of its link type and the expression is not valid for that.
    pub fn matches(&mut self, packet: &Packet<'_>) -> Result<bool, FilterError> {
        Ok(self.filter(packet.link)?.matches(packet.data))
    }

    fn filter(&mut self, link: LinkType) -> Result<&Filter, FilterError> {
        // There are half a dozen link types, mostly there is one.
        let at = match self.filters.iter().position(|filter| filter.link == link) {
            Some(at) => at,
            None => {
                self.filters.push(Filter::compile(&self.expression, link)?);
                self.filters.len().saturating_sub(1)
            }
        };
        self.filters.get(at).ok_or_else(|| FilterError {
            expression: self.expression.clone(),
            link: link.name(),
            reason: "the compiled filter is gone".to_owned(),
        })
    }
}

/// Opens a capture without packets for libpcap, which compiles for it.
///
/// `Capture::dead` would do for all but BSD loopback: for a file, libpcap knows that each system numbers IPv6 in
/// its own way there and accepts them all, for a dead handle it accepts the number of this machine only.
fn empty_capture(link: LinkType, swapped: bool) -> Result<Capture<Offline>, pcap::Error> {
    let io = |error: std::io::Error| pcap::Error::IoError(error.kind());
    let (reader, mut writer) = std::io::pipe().map_err(io)?;
    let word = |value: u32| if swapped { value.swap_bytes() } else { value }.to_ne_bytes();
    let half = |value: u16| if swapped { value.swap_bytes() } else { value }.to_ne_bytes();
    let mut header = Vec::with_capacity(24);
    header.extend(word(0xa1b2_c3d4));
    header.extend(half(2));
    header.extend(half(4));
    header.extend([0; 8]);
    header.extend(word(limits::PACKET_BYTES));
    header.extend(word(u32::from(link.dlt())));
    writer.write_all(&header).map_err(io)?;
    // SAFETY: the descriptor is open, a pipe's reading end, and given up by `into_raw_fd`, so libpcap alone closes it.
    #[expect(unsafe_code, reason = "libpcap takes over a descriptor")]
    unsafe {
        Capture::from_raw_fd(reader.into_raw_fd())
    }
}

fn plain_message(error: pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(message) => message,
        other => other.to_string(),
    }
}
