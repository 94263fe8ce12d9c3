//! Packets of our own, in namespaces of their own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

#[path = "support/namespace.rs"]
mod namespace;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use namespace::{in_namespace, in_plain_namespace, output, run, try_run};
use portcullis_capture::queue::{self, QueueSettings, Received};
use portcullis_capture::{InjectError, Injector, InjectorError};
use portcullis_wire::UdpPacket;

fn datagram(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    UdpPacket { source: source.parse().unwrap(), destination: destination.parse().unwrap(), payload }.build().unwrap()
}

#[test]
fn packets_arrive_as_they_are_made() {
    in_plain_namespace(|| {
        let mut injector = Injector::open(0).unwrap();
        // Each with a port of its own: a program that another test starts holds a closed socket until it runs.
        for (source, destination) in [
            ("127.0.0.9:25", "127.0.0.1:2500"),
            // Nobody has this address here.
            ("192.0.2.9:25", "127.0.0.1:2501"),
            ("[2001:db8::9]:25", "[::1]:2502"),
        ] {
            let receiver = UdpSocket::bind(destination).unwrap();
            receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            injector.send(&datagram(source, destination, b"550 no")).unwrap();
            let mut buffer = [0; 100];
            let (length, from) = receiver.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], from.to_string().as_str()), (b"550 no".as_slice(), source));
        }
        assert_eq!((injector.statistics().sent, injector.statistics().octets), (3, 34 + 34 + 54));
    });
}

#[test]
fn packets_bear_the_mark_so_that_rules_can_spare_them() {
    in_namespace(|| {
        let mut queue = queue::open(&QueueSettings::new(7)).unwrap();
        let rule = "OUTPUT -p udp -m mark ! --mark 0x5a -j NFQUEUE --queue-num 7";
        run(&format!("iptables-legacy -A {rule}"));
        run(&format!("ip6tables-legacy -A {rule}"));
        let mut marked = Injector::open(0x5a).unwrap();
        let mut plain = Injector::open(0).unwrap();
        for (source, destination) in [("127.0.0.9:25", "127.0.0.1:2500"), ("[::1]:25", "[::1]:2500")] {
            marked.send(&datagram(source, destination, b"marked")).unwrap();
            plain.send(&datagram(source, destination, b"plain")).unwrap();
            let deadline = Some(Instant::now() + Duration::from_secs(5));
            let Received::Packet(packet) = queue.receive(deadline).unwrap() else { panic!("a packet") };
            assert!(packet.data.ends_with(b"plain"));
        }
        let deadline = Some(Instant::now() + Duration::from_millis(50));
        assert!(matches!(queue.receive(deadline), Ok(Received::Deadline)));
    });
}

#[test]
fn what_cannot_be_sent_is_an_error_and_counted() {
    in_namespace(|| {
        let mut injector = Injector::open(0).unwrap();
        for octets in [&[][..], &[0x45; 19], &[0x60; 39], &[0x70; 60]] {
            assert!(matches!(injector.send(octets), Err(InjectError::NotIp { .. })));
        }
        let far = datagram("127.0.0.1:1", "192.0.2.1:2", b"far");
        assert!(matches!(injector.send(&far), Err(InjectError::NoRoute)));
        let far = datagram("[::1]:1", "[2001:db8::1]:2", b"far");
        assert!(matches!(injector.send(&far), Err(InjectError::NoRoute)));
        run("ip link set lo mtu 1500");
        let long = datagram("127.0.0.1:1", "127.0.0.1:2", &[0; 1473]);
        assert!(matches!(injector.send(&long), Err(InjectError::TooLong { length: 1501 })));
        injector.send(&datagram("127.0.0.1:1", "127.0.0.1:2", &[0; 1472])).unwrap();
        run("iptables-legacy -A OUTPUT -p udp --dport 3 -j DROP");
        assert!(matches!(injector.send(&datagram("127.0.0.1:1", "127.0.0.1:3", b"")), Err(InjectError::Refused)));
        let statistics = injector.statistics();
        assert_eq!((statistics.sent, statistics.unfit, statistics.no_route), (1, 4, 2));
        assert_eq!((statistics.too_long, statistics.refused, statistics.full, statistics.failed), (1, 1, 0, 0));
    });
}

/// An interface that takes nothing: packets are an error as soon as the buffer is full, nothing waits.
#[test]
fn a_full_send_buffer_is_an_error() {
    in_plain_namespace(|| {
        if let Err(reason) = try_run("ip link add fill type veth peer name sink") {
            println!("skipped: {reason}");
            return;
        }
        run("ip link set fill up");
        run("ip link set sink up");
        run("ip address add 192.0.2.1/24 dev fill");
        // A neighbour that does not answer: packets wait for it, three seconds long.
        let mut injector = Injector::open(0).unwrap();
        let packet = datagram("192.0.2.1:1", "192.0.2.2:2", &[0; 1400]);
        let start = Instant::now();
        for _ in 0..2000 {
            let _ = injector.send(&packet);
        }
        assert!(start.elapsed() < Duration::from_secs(2), "{:?} {}", start.elapsed(), output("ip neigh").unwrap());
        let statistics = injector.statistics();
        assert_eq!(statistics.sent + statistics.full + statistics.no_route, 2000, "{statistics:?}");
    });
}

#[test]
fn without_the_capability_it_says_so() {
    in_plain_namespace(|| {
        for capability in [caps::Capability::CAP_NET_RAW, caps::Capability::CAP_NET_ADMIN] {
            caps::drop(None, caps::CapSet::Effective, capability).unwrap();
        }
        let error = Injector::open(1).unwrap_err();
        assert!(matches!(error, InjectorError::NotPermitted), "{error:?}");
        assert!(error.to_string().contains("CAP_NET_RAW"), "{error}");
    });
}
