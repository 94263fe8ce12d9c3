//! Sending packets of our own, as they are, from the IP header on.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};

use crate::system::{self, Target};

/// The send buffer of each of the two sockets, in bytes: what waits for an interface is bounded by it.
const SEND_BUFFER: i32 = 1 << 20;

/// Why packets of our own cannot be sent at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InjectorError {
    /// The process may not open raw sockets.
    #[error(
        "packets cannot be injected: the process lacks CAP_NET_RAW (or CAP_NET_ADMIN, for the mark); run it as root, or give the program the capabilities with `setcap cap_net_admin,cap_net_raw+ep PROGRAM`"
    )]
    NotPermitted,

    /// The system refused a step of opening for another reason.
    #[error("packets cannot be injected: {step} failed: {source}")]
    Open {
        /// What was done.
        step: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
}

/// Why one packet was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InjectError {
    /// It is no packet: too short for its IP header, or of another version.
    #[error("a packet of {length} octets cannot be injected: it has no whole IPv4 or IPv6 header")]
    NotIp {
        /// How many octets there are.
        length: usize,
    },

    /// The machine has no IPv6.
    #[error("an IPv6 packet cannot be injected: this machine has IPv6 switched off")]
    NoIpv6,

    /// It is longer than the MTU on its way.
    #[error(
        "a packet of {length} octets cannot be injected: it is longer than the MTU of the interface it would leave by"
    )]
    TooLong {
        /// How many octets it has.
        length: usize,
    },

    /// There is no route to its destination.
    #[error("a packet cannot be injected: there is no route to its destination")]
    NoRoute,

    /// The send buffer is full.
    #[error("a packet cannot be injected now: the send buffer is full")]
    Full,

    /// A firewall rule of this machine refuses it.
    #[error("a packet cannot be injected: the firewall of this machine refuses it (chain OUTPUT or POSTROUTING)")]
    Refused,

    /// The system refused it for another reason.
    #[error("a packet cannot be injected: {0}")]
    Other(io::Error),
}

/// What an [`Injector`] counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InjectorStatistics {
    /// Packets sent.
    pub sent: u64,
    /// Octets sent, from the IP header on.
    pub octets: u64,
    /// Packets that were no IP packets, or of a version that this machine has not.
    pub unfit: u64,
    /// Packets longer than the MTU.
    pub too_long: u64,
    /// Packets without a route.
    pub no_route: u64,
    /// Packets for which the send buffer had no room.
    pub full: u64,
    /// Packets that the firewall of this machine refused.
    pub refused: u64,
    /// Packets not sent for other reasons.
    pub failed: u64,
}

/// Sends packets of our own over raw sockets, with a mark by which firewall rules know them.
///
/// A packet is given from its IP header on, with any source address. The kernel finds its way by the destination address, and
/// for IPv4 it fills in the total length, the header checksum, and an identification of zero; all other octets leave as they
/// are. It passes the chains OUTPUT and POSTROUTING, so a rule that sends these to a queue has to spare the mark.
///
/// Nothing waits: a packet that cannot be sent now is an error, and counted.
#[derive(Debug)]
pub struct Injector {
    v4: OwnedFd,
    /// `None` where IPv6 is switched off.
    v6: Option<OwnedFd>,
    statistics: InjectorStatistics,
}

impl Injector {
    /// Opens the sockets. Packets get `mark` (`nfmark`); 0 is none.
    ///
    /// They are in the network namespace of the thread that calls this, and can be used after CAP_NET_RAW was given up.
    ///
    /// # Errors
    ///
    /// Fails if the process lacks CAP_NET_RAW, or CAP_NET_ADMIN for the mark (before Linux 5.17).
    pub fn open(mark: u32) -> Result<Self, InjectorError> {
        let v4 = open_socket(libc::AF_INET, mark)?;
        // IPPROTO_RAW means this already; it is asked for in case that changes.
        system::set_option(v4.as_fd(), libc::IPPROTO_IP, libc::IP_HDRINCL, 1).map_err(failed("setting IP_HDRINCL"))?;
        let v6 = match open_socket(libc::AF_INET6, mark) {
            Ok(socket) => {
                system::set_option(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_HDRINCL, 1)
                    .map_err(failed("setting IPV6_HDRINCL"))?;
                Some(socket)
            }
            Err(InjectorError::Open { source, .. }) if source.raw_os_error() == Some(libc::EAFNOSUPPORT) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { v4, v6, statistics: InjectorStatistics::default() })
    }

    /// Sends a packet, from its IP header on, with right lengths and checksums.
    ///
    /// # Errors
    ///
    /// Fails if it is not sent, with the reason, which is also counted.
    pub fn send(&mut self, packet: &[u8]) -> Result<(), InjectError> {
        self.send_by(packet, 0)
    }

    /// Sends a packet as [`Injector::send`]; one to a link-local IPv6 address leaves by the interface of this index.
    ///
    /// # Errors
    ///
    /// Fails as [`Injector::send`] does.
    pub fn send_by(&mut self, packet: &[u8], interface: u32) -> Result<(), InjectError> {
        let result = self.try_send(packet, interface);
        let statistics = &mut self.statistics;
        let counter = match &result {
            Ok(()) => {
                statistics.octets = statistics.octets.saturating_add(packet.len() as u64);
                &mut statistics.sent
            }
            Err(InjectError::NotIp { .. } | InjectError::NoIpv6) => &mut statistics.unfit,
            Err(InjectError::TooLong { .. }) => &mut statistics.too_long,
            Err(InjectError::NoRoute) => &mut statistics.no_route,
            Err(InjectError::Full) => &mut statistics.full,
            Err(InjectError::Refused) => &mut statistics.refused,
            Err(InjectError::Other(_)) => &mut statistics.failed,
        };
        *counter = counter.saturating_add(1);
        result
    }

    fn try_send(&self, packet: &[u8], interface: u32) -> Result<(), InjectError> {
        let length = packet.len();
        let target = target(packet, interface).ok_or(InjectError::NotIp { length })?;
        let socket = match target {
            Target::V4(_) => &self.v4,
            Target::V6(..) => self.v6.as_ref().ok_or(InjectError::NoIpv6)?,
        };
        loop {
            let Err(error) = system::send_to(socket.as_fd(), packet, &target) else { return Ok(()) };
            return Err(match error.raw_os_error() {
                Some(libc::EINTR) => continue,
                Some(libc::EMSGSIZE) => InjectError::TooLong { length },
                Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EADDRNOTAVAIL) => {
                    InjectError::NoRoute
                }
                Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => InjectError::Full,
                Some(libc::EPERM | libc::EACCES) => InjectError::Refused,
                _ => InjectError::Other(error),
            });
        }
    }

    /// What was counted since it was opened.
    #[must_use]
    pub const fn statistics(&self) -> InjectorStatistics {
        self.statistics
    }
}

/// Where a packet goes to: the destination in its header, which must be there as a whole.
fn target(packet: &[u8], interface: u32) -> Option<Target> {
    match packet.first()? >> 4 {
        4 => {
            packet.get(..20)?;
            let octets: [u8; 4] = *packet.get(16..)?.first_chunk()?;
            Some(Target::V4(Ipv4Addr::from(octets)))
        }
        6 => {
            let octets: [u8; 16] = *packet.get(24..40)?.first_chunk()?;
            let address = Ipv6Addr::from(octets);
            Some(Target::V6(address, if address.is_unicast_link_local() { interface } else { 0 }))
        }
        _ => None,
    }
}

fn open_socket(domain: i32, mark: u32) -> Result<OwnedFd, InjectorError> {
    let socket = system::socket(domain, libc::SOCK_RAW, libc::IPPROTO_RAW).map_err(failed("opening a raw socket"))?;
    let set = |name, value| system::set_option(socket.as_fd(), libc::SOL_SOCKET, name, value);
    set(libc::SO_MARK, mark.cast_signed()).map_err(failed("setting the mark (SO_MARK)"))?;
    set(libc::SO_SNDBUF, SEND_BUFFER).map_err(failed("setting the send buffer"))?;
    Ok(socket)
}

fn failed(step: &'static str) -> impl Fn(io::Error) -> InjectorError {
    move |source| match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => InjectorError::NotPermitted,
        _ => InjectorError::Open { step, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_read_from_a_whole_header_only() {
        let mut v4 = vec![0x45; 20];
        v4[16..].copy_from_slice(&[192, 0, 2, 7]);
        assert!(matches!(target(&v4, 3), Some(Target::V4(address)) if address == Ipv4Addr::new(192, 0, 2, 7)));
        assert!(target(&v4[..19], 3).is_none());
        let mut v6 = vec![0x60; 40];
        v6[24..].copy_from_slice(&Ipv6Addr::LOCALHOST.octets());
        assert!(matches!(target(&v6, 3), Some(Target::V6(Ipv6Addr::LOCALHOST, 0))));
        assert!(target(&v6[..39], 3).is_none());
        v6[24..26].copy_from_slice(&[0xfe, 0x80]);
        assert!(matches!(target(&v6, 3), Some(Target::V6(_, 3))));
        assert!(target(&[0x50; 40], 3).is_none());
        assert!(target(&[], 3).is_none());
    }
}
