//! Capturing on interfaces, in namespaces of their own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

#[path = "support/namespace.rs"]
mod namespace;

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use namespace::{in_plain_namespace, run, try_run};
use portcullis_capture::{CaptureError, Captured, LiveError, LiveInterface, LiveSettings, PacketSource};
use portcullis_wire::{LinkType, Network, Transport, decode};

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(5))
}

fn sender() -> UdpSocket {
    let sender = UdpSocket::bind("127.0.0.1:4000").unwrap();
    sender.connect("127.0.0.1:2500").unwrap();
    sender
}

/// Sends, whatever came back for the packet before.
fn send(sender: &UdpSocket, payload: &[u8]) {
    if sender.send(payload).is_err() {
        sender.send(payload).unwrap();
    }
}

fn open(filter: &str) -> LiveInterface {
    LiveInterface::open(&LiveSettings { filter: Some(filter.to_owned()), ..LiveSettings::new("lo") }).unwrap()
}

#[test]
fn packets_are_captured_whole_with_their_time() {
    in_plain_namespace(|| {
        let mut live = open("udp dst port 2500");
        assert_eq!(live.link(), LinkType::Ethernet);
        let sender = sender();
        let payload = vec![b'x'; 60_000];
        for number in 1..=3 {
            send(&sender, &payload);
            // What the loopback shows twice, sent and received, libpcap shows once.
            let Captured::Packet(packet) = live.next_until(soon()).unwrap() else { panic!("a packet") };
            assert_eq!((packet.number, packet.missing()), (number, 0));
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
            assert!((now - packet.timestamp.as_nanos()).abs() < 5_000_000_000);
            let Network::Ip(ip) = decode(packet.link, packet.data).network else { panic!("an IP packet") };
            let Transport::Udp(datagram) = ip.transport() else { panic!("a datagram") };
            assert_eq!(datagram.payload, payload);
        }
        assert_eq!((live.statistics().received, live.statistics().dropped), (3, 0));
        // The filter keeps the answers out: "port unreachable".
        let deadline = Some(Instant::now() + Duration::from_millis(50));
        assert!(matches!(live.next_until(deadline), Ok(Captured::Deadline)));
    });
}

#[test]
fn the_wait_ends_when_woken_also_as_a_source() {
    in_plain_namespace(|| {
        let mut live = open("udp dst port 2500");
        let wake = |live: &LiveInterface| {
            let waker = live.waker();
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(30));
                waker.wake();
            })
        };
        let thread = wake(&live);
        assert!(matches!(live.next_until(None), Ok(Captured::Woken)));
        thread.join().unwrap();
        send(&sender(), b"packet");
        assert!(live.next().unwrap().unwrap().data.ends_with(b"packet"));
        let thread = wake(&live);
        assert!(live.next().unwrap().is_none());
        thread.join().unwrap();
    });
}

#[test]
fn what_overruns_the_buffer_is_counted() {
    in_plain_namespace(|| {
        // Not the loopback, where each packet is there twice.
        if let Err(reason) = try_run("ip link add from type veth peer name to") {
            println!("skipped: {reason}");
            return;
        }
        for command in
            ["ip link set from mtu 40000 up", "ip link set to mtu 40000 up", "ip address add 192.0.2.1/24 dev from"]
        {
            run(command);
        }
        let filter = Some("udp dst port 2500".to_owned());
        let mut live =
            LiveInterface::open(&LiveSettings { buffer: 1 << 20, filter, ..LiveSettings::new("to") }).unwrap();
        let sender = UdpSocket::bind("192.0.2.1:4000").unwrap();
        sender.set_broadcast(true).unwrap();
        for _ in 0..200 {
            sender.send_to(&[0; 30_000], "192.0.2.255:2500").unwrap();
        }
        let mut received = 0;
        let deadline = Some(Instant::now() + Duration::from_millis(100));
        while let Captured::Packet(_) = live.next_until(deadline).unwrap() {
            received += 1;
        }
        let statistics = live.statistics();
        assert_eq!(statistics.received, received);
        assert!(received > 10 && statistics.dropped > 50, "{statistics:?}");
        assert_eq!(received + statistics.dropped, 200, "{statistics:?}");
    });
}

#[test]
fn errors_say_what_is_wrong() {
    in_plain_namespace(|| {
        let open = |name: &str| LiveInterface::open(&LiveSettings::new(name));
        let error = open("nosuch0").unwrap_err();
        assert!(matches!(&error, LiveError::Missing { known, .. } if known.contains(&"lo".to_owned())), "{error}");
        let settings = LiveSettings { filter: Some("port port".to_owned()), ..LiveSettings::new("lo") };
        let error = LiveInterface::open(&settings).unwrap_err();
        assert!(error.to_string().starts_with("the filter \"port port\" cannot be used"), "{error}");
        run("ip link set lo down");
        let error = open("lo").unwrap_err();
        assert!(matches!(error, LiveError::Down { .. }), "{error}");
        caps::drop(None, caps::CapSet::Effective, caps::Capability::CAP_NET_RAW).unwrap();
        let error = open("lo").unwrap_err();
        assert!(matches!(error, LiveError::NotPermitted { .. }), "{error}");
    });
}

#[test]
fn an_interface_that_was_down_goes_on_and_one_that_is_gone_is_told() {
    in_plain_namespace(|| {
        if let Err(reason) = try_run("ip link add gone type veth peer name other") {
            println!("skipped: {reason}");
            return;
        }
        for command in ["ip link set gone up", "ip link set other up", "ip address add 192.0.2.1/24 dev gone"] {
            run(command);
        }
        let settings = LiveSettings { filter: Some("udp port 2500".to_owned()), ..LiveSettings::new("gone") };
        let mut live = LiveInterface::open(&settings).unwrap();
        let sender = UdpSocket::bind("192.0.2.1:4000").unwrap();
        let see_one = |live: &mut LiveInterface| {
            // To all, so that nobody is asked for his address.
            sender.set_broadcast(true).unwrap();
            sender.send_to(b"packet", "192.0.2.255:2500").unwrap();
            assert!(matches!(live.next_until(soon()).unwrap(), Captured::Packet(_)));
        };
        see_one(&mut live);
        run("ip link set gone down");
        let deadline = Some(Instant::now() + Duration::from_millis(100));
        assert!(matches!(live.next_until(deadline), Ok(Captured::Deadline)));
        run("ip link set gone up");
        see_one(&mut live);
        run("ip link delete gone");
        let error = live.next().unwrap_err();
        assert!(matches!(error, CaptureError::Live(LiveError::Gone { packets: 2, .. })), "{error}");
        assert!(live.next().unwrap().is_none());
    });
}
