//! Filter expressions of tcpdump.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod support;

use portcullis_capture::{Filter, FilterSet, Packet};
use portcullis_wire::{LinkType, Timestamp};

/// An IPv4 packet of UDP from 192.0.2.1 port 1000 to 198.51.100.2 port 53.
const IPV4: &[u8] = &[
    0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2, // IPv4
    3, 232, 0, 53, 0, 8, 0, 0, // UDP
];

/// An IPv6 packet without next header from 2001:db8::1 to 2001:db8::2.
const IPV6: &[u8] = &[
    0x60, 0, 0, 0, 0, 0, 59, 64, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x20, 1, 0x0d, 0xb8, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 2,
];

/// The bytes before an IP packet, for IPv4 and IPv6.
fn link_header(link: LinkType, version6: bool) -> Vec<u8> {
    let ethertype: [u8; 2] = if version6 { [0x86, 0xdd] } else { [8, 0] };
    match link {
        LinkType::Ethernet => [&[0; 12][..], &ethertype].concat(),
        LinkType::RawIp => Vec::new(),
        LinkType::Null => u32::to_ne_bytes(if version6 { 30 } else { 2 }).to_vec(),
        LinkType::Loop => u32::to_be_bytes(if version6 { 24 } else { 2 }).to_vec(),
        LinkType::LinuxSll => [&[0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0][..], &ethertype].concat(),
        LinkType::LinuxSll2 => [&ethertype[..], &[0; 18]].concat(),
    }
}

#[test]
fn expressions_match_on_every_link_type() {
    for link in LinkType::ALL {
        let matches = |expression: &str, version6: bool| {
            let data = [link_header(link, version6), if version6 { IPV6 } else { IPV4 }.to_vec()].concat();
            Filter::compile(expression, link).unwrap().matches(&data)
        };
        assert!(matches("udp port 53", false), "{link:?}");
        assert!(!matches("tcp port 53", false), "{link:?}");
        assert!(matches("src net 192.0.2.0/24 and dst host 198.51.100.2", false), "{link:?}");
        assert!(matches("ip6", true), "{link:?}: IPv6 by the number of another system");
        assert!(matches("src host 2001:db8::1", true), "{link:?}");
        assert!(!matches("ip6", false), "{link:?}");
        assert!(matches("", false), "{link:?}");
    }
}

#[test]
fn loopback_packets_of_either_byte_order_match() {
    let filter = Filter::compile("udp port 53", LinkType::Null).unwrap();
    let filter6 = Filter::compile("ip6", LinkType::Null).unwrap();
    for swapped in [false, true] {
        let family = |number: u32| if swapped { number.swap_bytes() } else { number }.to_ne_bytes();
        assert!(filter.matches(&[&family(2), IPV4].concat()), "swapped: {swapped}");
        for number in [24, 28, 30] {
            assert!(filter6.matches(&[&family(number), IPV6].concat()), "{number}, swapped: {swapped}");
        }
        assert!(!filter6.matches(&[&family(2), IPV4].concat()), "swapped: {swapped}");
    }
    assert!(!filter.matches(&[0, 0]));
}

#[test]
fn cut_packets_do_not_match_what_was_cut() {
    let filter = Filter::compile("udp port 53", LinkType::RawIp).unwrap();
    for length in 0..24 {
        assert!(!filter.matches(&IPV4[..length]));
    }
    assert!(filter.matches(&IPV4[..24]));
}

#[test]
fn wrong_expressions_are_told_with_the_words_of_libpcap() {
    let error = Filter::compile("tcp prot 25", LinkType::Ethernet).unwrap_err();
    assert_eq!(error.expression, "tcp prot 25");
    assert!(error.reason.contains("syntax error"), "{error}");
    assert!(error.to_string().contains("the filter \"tcp prot 25\" cannot be used for ethernet packets:"), "{error}");
    let error = Filter::compile("ether host 0:1:2:3:4:5", LinkType::RawIp).unwrap_err();
    assert!(error.to_string().contains("raw_ip packets"), "{error}");
    let error = Filter::compile("tcp\0port", LinkType::Ethernet).unwrap_err();
    assert!(error.reason.contains("null"), "{error}");
}

#[test]
fn a_set_has_a_program_for_each_link_type() {
    let mut set = FilterSet::compile("udp", &[LinkType::Ethernet]).unwrap();
    for link in LinkType::ALL {
        let data = [link_header(link, false), IPV4.to_vec()].concat();
        let packet = Packet::new(Timestamp::from_nanos(0), link, &data);
        assert_eq!(set.matches(&packet), Ok(true), "{link:?}");
    }
    assert!(FilterSet::compile("ether host 0:1:2:3:4:5", &[LinkType::Ethernet, LinkType::RawIp]).is_err());
    let mut set = FilterSet::compile("ether host 0:1:2:3:4:5", &[LinkType::Ethernet]).unwrap();
    let packet = Packet::new(Timestamp::from_nanos(0), LinkType::RawIp, IPV4);
    assert!(set.matches(&packet).is_err());
}
