//! The key under which both directions of a flow are found.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::flow::Protocol;

/// Set in the last word of an IPv6 tuple, so that `::ffff:192.0.2.1` is not `192.0.2.1`.
const IPV6: u64 = 1 << 8;

/// Addresses, ports, VLAN and protocol, packed into five words, the lower endpoint first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    low: [u64; 2],
    high: [u64; 2],
    /// Low port, high port, VLAN, family and protocol, 16 bits each.
    rest: u64,
}

impl Tuple {
    /// Packs a tuple, and says whether the source is its lower endpoint.
    pub(crate) fn new(
        protocol: Protocol,
        vlan: u16,
        source: (IpAddr, u16),
        destination: (IpAddr, u16),
    ) -> (Tuple, bool) {
        let from = words(source.0);
        let to = words(destination.0);
        let source_is_low = (from, source.1) <= (to, destination.1);
        let (low, low_port, high, high_port) =
            if source_is_low { (from, source.1, to, destination.1) } else { (to, destination.1, from, source.1) };
        let family = if source.0.is_ipv6() { IPV6 } else { 0 };
        let protocol = match protocol {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        };
        let rest = u64::from(low_port) << 48 | u64::from(high_port) << 32 | u64::from(vlan) << 16 | family | protocol;
        (Tuple { low, high, rest }, source_is_low)
    }

    /// The words to hash: two for IPv4, where the upper halves of the addresses say nothing.
    pub(crate) fn hash_with(&self, random: &ahash::RandomState) -> u64 {
        if self.is_ipv6() {
            random.hash_one((self.low, self.high, self.rest))
        } else {
            random.hash_one((self.low[1] << 32 | self.high[1], self.rest))
        }
    }

    /// The lower endpoint.
    pub(crate) fn low(&self) -> SocketAddr {
        SocketAddr::new(self.address(self.low), (self.rest >> 48) as u16)
    }

    /// The higher endpoint.
    pub(crate) fn high(&self) -> SocketAddr {
        SocketAddr::new(self.address(self.high), (self.rest >> 32) as u16)
    }

    /// The VLAN, 0 for none.
    pub(crate) fn vlan(&self) -> u16 {
        (self.rest >> 16) as u16
    }

    /// The protocol.
    pub(crate) fn protocol(&self) -> Protocol {
        if self.rest & 0xff == 6 { Protocol::Tcp } else { Protocol::Udp }
    }

    fn is_ipv6(&self) -> bool {
        self.rest & IPV6 != 0
    }

    fn address(&self, words: [u64; 2]) -> IpAddr {
        if self.is_ipv6() {
            let bits = u128::from(words[0]) << 64 | u128::from(words[1]);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        } else {
            IpAddr::V4(Ipv4Addr::from_bits(words[1] as u32))
        }
    }
}

fn words(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(address) => [0, u64::from(address.to_bits())],
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            [(bits >> 64) as u64, bits as u64]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> (IpAddr, u16) {
        let address: SocketAddr = text.parse().unwrap();
        (address.ip(), address.port())
    }

    #[test]
    fn both_directions_have_the_same_tuple() {
        let random = ahash::RandomState::with_seed(1);
        for (a, b) in [
            ("192.0.2.1:40000", "192.0.2.2:25"),
            ("192.0.2.1:25", "192.0.2.1:40000"),
            ("[2001:db8::2]:25", "[2001:db8::1]:40000"),
        ] {
            let (a, b) = (endpoint(a), endpoint(b));
            let (there, there_low) = Tuple::new(Protocol::Tcp, 7, a, b);
            let (back, back_low) = Tuple::new(Protocol::Tcp, 7, b, a);
            assert_eq!(there, back);
            assert_ne!(there_low, back_low);
            assert_eq!(there.hash_with(&random), back.hash_with(&random));
            let ends = if there_low { (a, b) } else { (b, a) };
            assert_eq!(there.low(), SocketAddr::new(ends.0.0, ends.0.1));
            assert_eq!(there.high(), SocketAddr::new(ends.1.0, ends.1.1));
            assert_eq!((there.vlan(), there.protocol()), (7, Protocol::Tcp));
        }
    }

    #[test]
    fn protocol_vlan_family_and_ports_tell_tuples_apart() {
        let (a, b) = (endpoint("192.0.2.1:53"), endpoint("192.0.2.2:53"));
        let mapped = (endpoint("[::ffff:192.0.2.1]:53"), endpoint("[::ffff:192.0.2.2]:53"));
        let plain_v6 = (endpoint("[::c000:201]:53"), endpoint("[::c000:202]:53"));
        let tuples = [
            Tuple::new(Protocol::Tcp, 0, a, b).0,
            Tuple::new(Protocol::Udp, 0, a, b).0,
            Tuple::new(Protocol::Udp, 1, a, b).0,
            Tuple::new(Protocol::Udp, 0, (a.0, 54), b).0,
            Tuple::new(Protocol::Udp, 0, mapped.0, mapped.1).0,
            Tuple::new(Protocol::Udp, 0, plain_v6.0, plain_v6.1).0,
        ];
        for (i, one) in tuples.iter().enumerate() {
            for other in &tuples[i + 1..] {
                assert_ne!(one, other);
            }
        }
    }
}
