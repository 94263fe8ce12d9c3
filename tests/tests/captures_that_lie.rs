//! What the engine makes of packets of which a capture, or their sender, does not say the truth.

use std::net::SocketAddr;
use std::sync::Arc;

use portcullis_engine::{Engine, Settings};
use portcullis_policy::PolicySet;
use portcullis_stream::Reassembly;
use portcullis_tests::grammars::shipped;
use portcullis_tests::streams::Streams;
use portcullis_wire::{LinkType, SequenceNumber, TcpFlags, TcpPacket, Timestamp, internet_checksum};

/// An engine that is given packets of one connection.
struct Bench {
    engine: Engine,
    streams: Streams,
    number: u64,
}

impl Bench {
    fn connected() -> Bench {
        Bench::answered_by(packet(false, 499, 100, TcpFlags::SYN | TcpFlags::ACK, b""))
    }

    fn answered_by(answer: Vec<u8>) -> Bench {
        Bench::of(Settings::default(), answer)
    }

    fn of(settings: Settings, answer: Vec<u8>) -> Bench {
        let engine = Engine::new(shipped().grammars, Arc::new(PolicySet::default()), settings);
        let mut bench = Bench { engine, streams: Streams::default(), number: 0 };
        bench.packet(&packet(true, 99, 0, TcpFlags::SYN, b""));
        bench.packet(&answer);
        bench
    }

    fn packet(&mut self, octets: &[u8]) {
        self.cut_packet(octets, octets.len());
    }

    /// Gives a packet of which the capture has kept so many octets.
    fn cut_packet(&mut self, octets: &[u8], kept: usize) {
        self.number += 1;
        let time = Timestamp::from_micros(1_700_000_000_000_000 + 1_000 * i64::try_from(self.number).unwrap());
        let length = u32::try_from(octets.len()).unwrap();
        self.engine.packet(self.number, time, LinkType::RawIp, &octets[..kept], length, &mut self.streams);
    }

    /// What the client said, and how many octets of that are missing.
    fn said(mut self) -> Vec<u8> {
        self.engine.finish(&mut self.streams);
        self.streams.conversations()[0].said[0].clone()
    }
}

fn packet(up: bool, sequence: u32, acknowledgement: u32, flags: TcpFlags, payload: &[u8]) -> Vec<u8> {
    let (client, server): (SocketAddr, SocketAddr) =
        ("192.0.2.1:40000".parse().unwrap(), "192.0.2.2:9999".parse().unwrap());
    let (source, destination) = if up { (client, server) } else { (server, client) };
    let packet = TcpPacket {
        source,
        destination,
        sequence: SequenceNumber(sequence),
        acknowledgement: SequenceNumber(acknowledgement),
        flags,
        window: 64_000,
        options: &[],
        payload,
    };
    packet.build().unwrap()
}

/// The same with a wrong checksum.
fn spoilt(mut packet: Vec<u8>) -> Vec<u8> {
    packet[36] ^= 0x55;
    packet
}

#[test]
fn a_packet_longer_than_its_frame_makes_no_gap() {
    let mut bench = Bench::connected();
    bench.packet(&packet(true, 100, 500, TcpFlags::ACK, b"one "));
    // The IP header says that six more octets follow; the frame was captured whole, and they do not.
    let mut lie = packet(true, 104, 500, TcpFlags::ACK, b"xxxxxx");
    lie.truncate(40);
    bench.packet(&lie);
    bench.packet(&packet(true, 104, 500, TcpFlags::ACK, b"two"));
    assert_eq!(bench.said(), b"one two");
}

#[test]
fn a_packet_that_the_capture_has_cut_makes_a_gap() {
    let mut bench = Bench::connected();
    bench.packet(&packet(true, 100, 500, TcpFlags::ACK, b"one "));
    bench.cut_packet(&packet(true, 104, 500, TcpFlags::ACK, b"xxxxxx"), 40);
    bench.packet(&packet(true, 110, 500, TcpFlags::ACK, b"two"));
    assert_eq!(bench.said(), b"one [6 bytes missing in capture file]\0two");
}

#[test]
fn what_a_host_beside_the_capture_acknowledges_was_received() {
    // The server's checksums are never right, as where its network card makes them; the client's are, but for those of one
    // segment that was changed after it was captured.
    let mut bench = Bench::answered_by(spoilt(packet(false, 499, 100, TcpFlags::SYN | TcpFlags::ACK, b"")));
    bench.packet(&packet(true, 100, 500, TcpFlags::ACK, b"one "));
    bench.packet(&spoilt(packet(true, 104, 500, TcpFlags::ACK, b"two ")));
    bench.packet(&spoilt(packet(false, 500, 108, TcpFlags::ACK, b"ok")));
    bench.packet(&packet(true, 108, 502, TcpFlags::ACK, b"three"));
    assert_eq!(bench.said(), b"one two three");
}

#[test]
fn what_nobody_acknowledges_was_not_received() {
    let mut bench = Bench::answered_by(spoilt(packet(false, 499, 100, TcpFlags::SYN | TcpFlags::ACK, b"")));
    bench.packet(&packet(true, 100, 500, TcpFlags::ACK, b"one "));
    bench.packet(&spoilt(packet(true, 104, 500, TcpFlags::ACK, b"bad ")));
    bench.packet(&spoilt(packet(false, 500, 104, TcpFlags::ACK, b"ok")));
    bench.packet(&packet(true, 104, 502, TcpFlags::ACK, b"two"));
    assert_eq!(bench.said(), b"one two");
}

/// A fragment of a packet: octets of its IP payload from `start` on.
fn fragment(packet: &[u8], start: usize, payload: &[u8], more: bool) -> Vec<u8> {
    let mut fragment = packet[..20].to_vec();
    fragment[2..4].copy_from_slice(&u16::try_from(20 + payload.len()).unwrap().to_be_bytes());
    fragment[4..6].copy_from_slice(&[0, 7]);
    fragment[6..8].copy_from_slice(&(u16::try_from(start / 8).unwrap() | u16::from(more) << 13).to_be_bytes());
    fragment[10..12].copy_from_slice(&[0, 0]);
    let checksum = internet_checksum(&fragment);
    fragment[10..12].copy_from_slice(&checksum.to_be_bytes());
    fragment.extend_from_slice(payload);
    fragment
}

#[test]
fn the_reading_of_overlaps_that_is_chosen_holds_for_fragments_too() {
    for (reassembly, payload) in [
        (Reassembly::Linux, &b""[..]),
        (Reassembly::Windows, b"....AAAAAAAAAAAAAAAABBBBBBBB"),
        (Reassembly::First, b"....AAAAAAAAAAAAAAAABBBBBBBB"),
        (Reassembly::Bsd, b"....AAAAAAAAAAAAAAAABBBBBBBB"),
        (Reassembly::Last, b"....AAAAAAAABBBBBBBBBBBBBBBB"),
    ] {
        let settings = Settings { reassembly, ..Settings::default() };
        let mut bench = Bench::of(settings, packet(false, 499, 100, TcpFlags::SYN | TcpFlags::ACK, b""));
        // The checksum is right for the reading that is expected.
        let whole = packet(true, 100, 500, TcpFlags::ACK, payload);
        let head = packet(true, 100, 500, TcpFlags::ACK, b"....");
        let mut first = head[20..].to_vec();
        first[16..18].copy_from_slice(&whole[36..38]);
        bench.packet(&fragment(&whole, 0, &first, true));
        bench.packet(&fragment(&whole, 24, &[b'A'; 16], true));
        bench.packet(&fragment(&whole, 32, &[b'B'; 16], false));
        assert_eq!(bench.said(), payload, "{reassembly}");
    }
}
