//! Queues of the kernel, with real packets, in namespaces of their own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

#[path = "support/namespace.rs"]
mod namespace;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use namespace::{Peer, in_namespace, output, run, try_run};
use portcullis_capture::queue::{
    self, Backend, Disposition, PacketId, PacketQueue, QueueError, QueueSettings, Queued, Received,
};
use portcullis_wire::{LinkType, Network, Transport, UdpPacket, decode, internet_checksum, transport_checksum};

const BACKENDS: [Backend; 2] = [Backend::Netlink, Backend::Nfq];
const ACCEPT: Disposition<'static> = Disposition::Accept { mark: None };

fn settings(backend: Backend) -> QueueSettings {
    QueueSettings { backend, ..QueueSettings::new(7) }
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(5))
}

/// A receiving socket, and a sending one whose packets to it go through queue 7.
fn udp_pair(host: &str) -> (UdpSocket, UdpSocket) {
    let receiver = UdpSocket::bind(format!("{host}:2500")).unwrap();
    receiver.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let sender = UdpSocket::bind(format!("{host}:4000")).unwrap();
    sender.connect(format!("{host}:2500")).unwrap();
    // Packets that wait count for the send buffer: too many at once would stop the test for ever.
    sender.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let iptables = if host.starts_with('[') { "ip6tables-legacy" } else { "iptables-legacy" };
    run(&format!("{iptables} -A OUTPUT -p udp --dport 2500 -j NFQUEUE --queue-num 7"));
    (sender, receiver)
}

fn arrived(receiver: &UdpSocket) -> Option<String> {
    let mut buffer = vec![0; 70_000];
    let length = receiver.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// The next packet: its number and octets.
fn next(queue: &mut dyn PacketQueue) -> (PacketId, Vec<u8>) {
    match queue.receive(soon()).unwrap() {
        Received::Packet(packet) => (packet.id, packet.data.to_vec()),
        other => panic!("{other:?} instead of a packet"),
    }
}

fn udp_payload(packet: &[u8]) -> String {
    let decoded = decode(LinkType::RawIp, packet);
    let Network::Ip(ip) = decoded.network else { panic!("an IP packet") };
    let Transport::Udp(datagram) = ip.transport() else { panic!("a datagram") };
    String::from_utf8_lossy(datagram.payload).into_owned()
}

/// The same datagram with another payload.
fn with_payload(packet: &[u8], payload: &[u8]) -> Vec<u8> {
    let decoded = decode(LinkType::RawIp, packet);
    let Network::Ip(ip) = decoded.network else { panic!("an IP packet") };
    let Transport::Udp(datagram) = ip.transport() else { panic!("a datagram") };
    let source = SocketAddr::new(ip.source, datagram.source_port);
    let destination = SocketAddr::new(ip.destination, datagram.destination_port);
    UdpPacket { source, destination, payload }.build().unwrap()
}

#[test]
fn verdicts_are_carried_out() {
    for backend in BACKENDS {
        in_namespace(move || verdicts(backend, "127.0.0.1"));
    }
}

#[test]
fn verdicts_are_carried_out_for_ipv6() {
    for backend in BACKENDS {
        in_namespace(move || verdicts(backend, "[::1]"));
    }
}

fn verdicts(backend: Backend, host: &str) {
    let mut queue = queue::open(&settings(backend)).unwrap();
    let (sender, receiver) = udp_pair(host);
    let mut judge = |payload: &str, disposition: &dyn Fn(&[u8]) -> Option<Vec<u8>>| {
        sender.send(payload.as_bytes()).unwrap();
        let (id, packet) = next(queue.as_mut());
        assert_eq!(udp_payload(&packet), payload);
        match disposition(&packet) {
            Some(octets) => queue.verdict(id, Disposition::Replace { octets: &octets, mark: None }).unwrap(),
            None if payload == "drop" => queue.verdict(id, Disposition::Drop).unwrap(),
            None => queue.verdict(id, ACCEPT).unwrap(),
        }
        queue.flush().unwrap();
        arrived(&receiver)
    };
    assert_eq!(judge("accept", &|_| None).as_deref(), Some("accept"));
    assert_eq!(judge("drop", &|_| None), None);
    assert_eq!(
        judge("same length", &|packet| Some(with_payload(packet, b"SAME LENGTH"))).as_deref(),
        Some("SAME LENGTH")
    );
    assert_eq!(judge("to be cut", &|packet| Some(with_payload(packet, b"cut"))).as_deref(), Some("cut"));
    let long = "long".repeat(2000);
    assert_eq!(judge("to grow", &|packet| Some(with_payload(packet, long.as_bytes()))), Some(long.clone()));
    // The kernel takes the packet as it is, and the receiver checks its checksum.
    let wrong = judge("wrong checksum", &|packet| {
        let mut packet = with_payload(packet, b"wrong");
        *packet.last_mut().unwrap() ^= 1;
        Some(packet)
    });
    assert_eq!(wrong, None);
    assert_eq!(queue.outstanding(), 0);
    let statistics = queue.statistics();
    assert_eq!((statistics.received, statistics.accepted, statistics.dropped, statistics.replaced), (6, 1, 1, 4));
    assert_eq!((statistics.uninspected, statistics.refused_verdicts, statistics.damaged_messages), (0, 0, 0));
    let kernel = queue.kernel_counters().unwrap();
    assert_eq!((kernel.waiting, kernel.last_id, kernel.dropped_full, kernel.dropped_unsent), (0, 6, 0, 0));
}

#[test]
fn marks_are_told_and_set() {
    for backend in BACKENDS {
        in_namespace(move || {
            let mut queue = queue::open(&settings(backend)).unwrap();
            run("iptables-legacy -t mangle -A OUTPUT -p udp --dport 2500 -j MARK --set-mark 0x11");
            run("iptables-legacy -t mangle -A POSTROUTING -p udp -m mark --mark 0x22");
            run("iptables-legacy -t mangle -A POSTROUTING -p udp -m mark --mark 0x33");
            let (sender, receiver) = udp_pair("127.0.0.1");
            for payload in [b"a", b"b"] {
                sender.send(payload).unwrap();
                let Received::Packet(packet) = queue.receive(soon()).unwrap() else { panic!("a packet") };
                assert_eq!(packet.mark, 0x11);
                assert_eq!((packet.hook, packet.input), (3, 0));
                assert_ne!(packet.output, 0);
                let (id, octets) = (packet.id, packet.data.to_vec());
                if payload == b"a" {
                    queue.verdict(id, Disposition::Accept { mark: Some(0x22) }).unwrap();
                } else {
                    let octets = with_payload(&octets, payload);
                    queue.verdict(id, Disposition::Replace { octets: &octets, mark: Some(0x33) }).unwrap();
                }
                queue.flush().unwrap();
                assert!(arrived(&receiver).is_some());
            }
            let rules = output("iptables-legacy -t mangle -xnvL POSTROUTING").unwrap();
            for mark in ["0x22", "0x33"] {
                let line = rules.lines().find(|line| line.ends_with(&format!("mark match {mark}"))).unwrap();
                assert_eq!(line.split_ascii_whitespace().next(), Some("1"), "{rules}");
            }
        });
    }
}

#[test]
fn held_packets_leave_in_the_order_of_their_verdicts() {
    for backend in BACKENDS {
        in_namespace(move || {
            let mut queue = queue::open(&settings(backend)).unwrap();
            let (sender, receiver) = udp_pair("127.0.0.1");
            let payloads: Vec<String> = (0..100).map(|number| format!("packet {number}")).collect();
            for payload in &payloads {
                sender.send(payload.as_bytes()).unwrap();
            }
            let mut held: Vec<PacketId> = payloads.iter().map(|_| next(queue.as_mut()).0).collect();
            assert_eq!(queue.outstanding(), 100);
            assert_eq!(queue.kernel_counters().unwrap().waiting, 100);
            while let Some(id) = held.pop() {
                queue.verdict(id, ACCEPT).unwrap();
                // Each exactly once.
                assert!(matches!(queue.verdict(id, Disposition::Drop), Err(QueueError::NotWaiting { .. })));
            }
            queue.flush().unwrap();
            let received: Vec<String> = std::iter::from_fn(|| arrived(&receiver)).collect();
            assert!(received.iter().eq(payloads.iter().rev()), "{received:?}");
            assert_eq!(queue.statistics().accepted, 100);
        });
    }
}

#[test]
fn what_overruns_the_receive_buffer_is_counted() {
    for backend in BACKENDS {
        for fail_open in [true, false] {
            in_namespace(move || overrun(backend, fail_open));
        }
    }
}

fn overrun(backend: Backend, fail_open: bool) {
    // The buffer of the receiver has room for 250.
    const SENT: u64 = 200;
    let settings = QueueSettings { receive_buffer: 16 << 10, fail_open, ..settings(backend) };
    let mut queue = queue::open(&settings).unwrap();
    let (sender, receiver) = udp_pair("127.0.0.1");
    for number in 0..SENT {
        sender.send(format!("packet {number}").as_bytes()).unwrap();
    }
    let receive_all = |queue: &mut dyn PacketQueue| {
        while let Received::Packet(packet) = queue.receive(Some(Instant::now() + Duration::from_millis(50))).unwrap() {
            let id = packet.id;
            queue.verdict(id, ACCEPT).unwrap();
        }
    };
    receive_all(queue.as_mut());
    let kernel = queue.kernel_counters().unwrap();
    assert_eq!(u64::from(kernel.last_id), SENT);
    // What was missed is seen with the next packet.
    sender.send(b"last").unwrap();
    receive_all(queue.as_mut());
    let statistics = queue.statistics();
    assert!(statistics.uninspected > 50, "{statistics:?}");
    assert!(statistics.overruns >= 1, "{statistics:?}");
    assert_eq!(statistics.received + statistics.uninspected, SENT + 1, "{statistics:?}");
    let received = std::iter::from_fn(|| arrived(&receiver)).count() as u64;
    let (passed, dropped) = if fail_open { (SENT + 1, 0) } else { (statistics.received, statistics.uninspected) };
    assert_eq!(received, passed);
    assert_eq!(u64::from(kernel.dropped_unsent), dropped);
    assert_eq!(kernel.dropped_full, 0);
}

/// Why the queue is longer than what fits into the receive buffer.
#[test]
fn what_overruns_the_length_of_a_queue_that_fails_open_is_seen_by_nobody() {
    in_namespace(|| {
        let mut queue =
            queue::open(&QueueSettings { length: 10, fail_open: true, ..settings(Backend::Netlink) }).unwrap();
        let (sender, receiver) = udp_pair("127.0.0.1");
        for _ in 0..50 {
            sender.send(b"packet").unwrap();
        }
        assert_eq!(std::iter::from_fn(|| arrived(&receiver)).count(), 40);
        for _ in 0..10 {
            let (id, _) = next(queue.as_mut());
            queue.verdict(id, ACCEPT).unwrap();
        }
        queue.flush().unwrap();
        sender.send(b"last").unwrap();
        next(queue.as_mut());
        assert_eq!(queue.statistics().uninspected, 0);
        let kernel = queue.kernel_counters().unwrap();
        assert_eq!((kernel.dropped_full, kernel.dropped_unsent, kernel.last_id), (0, 0, 11));
    });
}

/// The smallest packets, as many as there is room for: the buffer must be full before the queue is.
#[test]
fn the_receive_buffer_overruns_before_the_length_of_the_queue_does() {
    in_namespace(|| {
        // More of one socket would wait for room in its send buffer.
        const EACH: u32 = 200;
        const SENT: u32 = 400 * EACH;
        let mut queue = queue::open(&QueueSettings { fail_open: true, ..settings(Backend::Netlink) }).unwrap();
        let (_sender, _receiver) = udp_pair("127.0.0.1");
        let senders: Vec<UdpSocket> = (0..SENT / EACH)
            .map(|_| {
                let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
                sender.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
                for _ in 0..EACH {
                    // The receiver's buffer is soon full, which is none of the sender's business.
                    sender.send_to(b"", "127.0.0.1:2500").unwrap();
                }
                sender
            })
            .collect();
        let kernel = queue.kernel_counters().unwrap();
        assert_eq!(kernel.last_id, SENT);
        assert!(kernel.waiting < QueueSettings::new(7).length / 10 * 9, "{kernel:?}");
        assert!(kernel.waiting > 5_000, "{kernel:?}");
        println!("{} of the smallest packets fit into the receive buffer", kernel.waiting);
        let (id, _) = next(queue.as_mut());
        queue.verdict(id, ACCEPT).unwrap();
        drop(senders);
    });
}

#[test]
fn packets_longer_than_the_copy_are_told() {
    for backend in BACKENDS {
        in_namespace(move || {
            let mut queue = queue::open(&settings(backend)).unwrap();
            let (sender, receiver) = udp_pair("127.0.0.1");
            // 65,507 octets of payload are a packet of 65,535, of which a netlink attribute holds 65,531.
            for (length, cut) in [(65_503_usize, false), (65_507, true)] {
                sender.send(&vec![b'x'; length]).unwrap();
                let Received::Packet(packet) = queue.receive(soon()).unwrap() else { panic!("a packet") };
                assert_eq!(packet.is_cut(), cut);
                assert_eq!((packet.data.len(), packet.original_length as usize), (65_531, length + 28));
                let id = packet.id;
                queue.verdict(id, ACCEPT).unwrap();
                queue.flush().unwrap();
                assert_eq!(arrived(&receiver).map(|text| text.len()), Some(length));
            }
            assert_eq!(queue.statistics().cut, 1);
            drop(queue);
            let mut queue = queue::open(&QueueSettings { copy_range: 30, ..settings(backend) }).unwrap();
            sender.send(b"payload").unwrap();
            let Received::Packet(packet) = queue.receive(soon()).unwrap() else { panic!("a packet") };
            assert_eq!((packet.is_cut(), packet.data.len(), packet.original_length), (true, 30, 35));
        });
    }
}

#[test]
fn a_replacement_that_is_too_long_is_refused_and_the_packet_still_waits() {
    for backend in BACKENDS {
        in_namespace(move || {
            let mut queue = queue::open(&settings(backend)).unwrap();
            let (sender, receiver) = udp_pair("127.0.0.1");
            sender.send(b"packet").unwrap();
            let (id, _) = next(queue.as_mut());
            let octets = vec![0; 65_532];
            let error = queue.verdict(id, Disposition::Replace { octets: &octets, mark: None }).unwrap_err();
            assert_eq!(
                error.to_string(),
                "packet 1 of queue 7 cannot be replaced by 65532 octets, at most 65531 are possible"
            );
            queue.verdict(id, ACCEPT).unwrap();
            queue.flush().unwrap();
            assert_eq!(arrived(&receiver).as_deref(), Some("packet"));
        });
    }
}

#[test]
fn the_wait_ends_at_the_deadline_and_when_woken() {
    for backend in BACKENDS {
        in_namespace(move || {
            let mut queue = queue::open(&settings(backend)).unwrap();
            let start = Instant::now();
            let deadline = start + Duration::from_millis(80);
            assert!(matches!(queue.receive(Some(deadline)), Ok(Received::Deadline)));
            assert!(Instant::now() >= deadline && start.elapsed() < Duration::from_secs(2));
            assert!(matches!(queue.receive(Some(start)), Ok(Received::Deadline)), "one that has passed");
            let waker = queue.waker();
            let thread = thread::spawn(move || {
                thread::sleep(Duration::from_millis(50));
                waker.wake();
                waker.wake();
            });
            assert!(matches!(queue.receive(None), Ok(Received::Woken)));
            thread.join().unwrap();
            // The second call may have come after the first had woken.
            let _ = queue.receive(Some(Instant::now() + Duration::from_millis(20)));
            assert!(matches!(queue.receive(Some(Instant::now() + Duration::from_millis(20))), Ok(Received::Deadline)));
            // A packet that is there comes before a deadline that has passed.
            let (sender, _receiver) = udp_pair("127.0.0.1");
            sender.send(b"packet").unwrap();
            assert!(matches!(queue.receive(Some(start)), Ok(Received::Packet(_))));
        });
    }
}

#[test]
fn a_queue_that_is_closed_leaves_nothing_behind() {
    for backend in BACKENDS {
        in_namespace(move || {
            let mut queue = queue::open(&settings(backend)).unwrap();
            let (sender, receiver) = udp_pair("127.0.0.1");
            for payload in ["judged", "held", "not received"] {
                sender.send(payload.as_bytes()).unwrap();
            }
            let judged = next(queue.as_mut()).0;
            next(queue.as_mut());
            queue.verdict(judged, ACCEPT).unwrap();
            drop(queue);
            // The verdict that was given counts, what had none is dropped, and the number is free.
            assert_eq!(arrived(&receiver).as_deref(), Some("judged"));
            assert_eq!(arrived(&receiver), None);
            let mut queue = queue::open(&settings(backend)).unwrap();
            sender.send(b"new").unwrap();
            let (id, packet) = next(queue.as_mut());
            assert_eq!((id, udp_payload(&packet).as_str()), (PacketId(1), "new"));
        });
    }
}

#[test]
fn errors_say_what_is_wrong() {
    for backend in BACKENDS {
        in_namespace(move || {
            let first = queue::open(&settings(Backend::Netlink)).unwrap();
            let Err(error) = queue::open(&settings(backend)) else { panic!("it is in use") };
            assert!(matches!(error, QueueError::InUse { number: 7, owner: Some(_) }), "{error:?}");
            assert!(error.to_string().contains("end that program, or choose another number"), "{error}");
            drop(first);
            for settings in [
                QueueSettings { length: 0, ..settings(backend) },
                QueueSettings { batch: 65, ..settings(backend) },
                QueueSettings { copy_range: 65_532, ..settings(backend) },
                QueueSettings { receive_buffer: 0, ..settings(backend) },
            ] {
                let Err(error) = queue::open(&settings) else { panic!("{settings:?} is refused") };
                assert!(matches!(error, QueueError::Setting { .. }), "{error:?}");
            }
            // Capabilities are those of the thread, which ends here.
            caps::drop(None, caps::CapSet::Effective, caps::Capability::CAP_NET_ADMIN).unwrap();
            let Err(error) = queue::open(&settings(backend)) else { panic!("it is not permitted") };
            assert!(matches!(error, QueueError::NotPermitted { number: 7 }), "{error:?}");
            assert!(error.to_string().contains("setcap cap_net_admin"), "{error}");
        });
    }
}

/// Without the capability verdicts are refused by the kernel, which the sender of a verdict is not told at once.
#[test]
fn verdicts_without_permission_are_an_error() {
    for backend in BACKENDS {
        in_namespace(move || {
            let mut queue = queue::open(&settings(backend)).unwrap();
            let (sender, receiver) = udp_pair("127.0.0.1");
            sender.send(b"packet").unwrap();
            let (id, _) = next(queue.as_mut());
            caps::drop(None, caps::CapSet::Effective, caps::Capability::CAP_NET_ADMIN).unwrap();
            queue.verdict(id, ACCEPT).unwrap();
            let error = queue.receive(soon()).unwrap_err();
            assert!(matches!(error, QueueError::PermissionLost { number: 7 }), "{error:?}");
            assert_eq!(arrived(&receiver), None);
        });
    }
}

#[test]
fn large_tcp_segments_come_whole_and_without_checksum() {
    for backend in BACKENDS {
        for offload in [true, false] {
            in_namespace(move || {
                let queue = queue::open(&QueueSettings { segmentation_offload: offload, ..settings(backend) }).unwrap();
                let listener = TcpListener::bind("127.0.0.1:2500").unwrap();
                run("ip link set lo mtu 1500");
                run("iptables-legacy -A OUTPUT -p tcp -j NFQUEUE --queue-num 7");
                let mut longest = 0;
                let mut not_ready = 0;
                let statistics = transfer(queue, listener, || send_pattern("127.0.0.1:2500"), &mut |packet| {
                    longest = longest.max(packet.data.len());
                    not_ready += u64::from(!packet.checksum_ready);
                    if packet.offloaded {
                        assert!(packet.data.len() > 1500);
                    }
                    None
                });
                if offload {
                    assert!(statistics.offloaded > 10 && longest > 10_000, "{longest} {statistics:?}");
                    assert!(not_ready >= statistics.offloaded);
                } else {
                    assert_eq!((statistics.offloaded, longest), (0, 1500));
                }
            });
        }
    }
}

/// A gateway between two hosts, in whose FORWARD the queue is: packets as they come over a network, merged by GRO.
fn gateway(
    backend: Backend,
    sending: bool,
    judge: &mut dyn FnMut(&Queued<'_>) -> Option<Vec<u8>>,
) -> queue::QueueStatistics {
    let (client, server) = (Peer::new(), Peer::new());
    for (peer, name, net) in [(&client, "gc", 1), (&server, "gs", 2)] {
        run(&format!("ip link add {name} type veth peer name eth0 netns {}", peer.thread));
        run(&format!("ip address add 192.0.{net}.1/24 dev {name}"));
        run(&format!("ip link set {name} up"));
        peer.run(move || {
            run(&format!("ip address add 192.0.{net}.2/24 dev eth0"));
            run("ip link set eth0 up");
            run(&format!("ip route add default via 192.0.{net}.1"));
        });
    }
    if !sending {
        // The gateway has to cut large packets itself, as for a network card that cannot.
        run("ethtool -K gs tso off gso off");
    }
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    let queue = queue::open(&settings(backend)).unwrap();
    run("iptables-legacy -A FORWARD -p tcp -j NFQUEUE --queue-num 7");
    let listener = server.run(|| TcpListener::bind("192.0.2.2:2500").unwrap());
    let connect = move || client.run(|| send_pattern("192.0.2.2:2500"));
    transfer(queue, listener, connect, judge)
}

/// The packet with its TCP payload in capitals, cut to so many octets.
fn in_capitals(packet: &[u8], most: usize) -> Option<Vec<u8>> {
    let decoded = decode(LinkType::RawIp, packet);
    let Network::Ip(ip) = decoded.network else { panic!("an IP packet") };
    let Transport::Tcp(segment) = ip.transport() else { panic!("a segment") };
    if segment.payload.is_empty() {
        return None;
    }
    let headers = packet.len() - segment.payload.len();
    let mut packet: Vec<u8> = packet.iter().take(headers.saturating_add(most)).copied().collect();
    packet[headers..].make_ascii_uppercase();
    let length = u16::try_from(packet.len()).unwrap();
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet[10..12].fill(0);
    let checksum = internet_checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet[36..38].fill(0);
    let checksum = transport_checksum(ip.source, ip.destination, 6, &packet[20..]);
    packet[36..38].copy_from_slice(&checksum.to_be_bytes());
    Some(packet)
}

#[test]
fn a_gateway_changes_large_segments() {
    for backend in BACKENDS {
        for sending in [true, false] {
            in_namespace(move || {
                if !sending && try_run("ethtool -k lo").is_err() {
                    println!("skipped: there is no ethtool");
                    return;
                }
                let statistics = gateway(backend, sending, &mut |packet| in_capitals(packet.data, usize::MAX));
                assert!(statistics.offloaded > 10 && statistics.replaced > 10, "{statistics:?}");
            });
        }
    }
}

/// The kernel cuts a changed packet into segments again, and refuses one that is no longer than a segment. The sender repeats what
/// is missing.
#[test]
fn a_large_packet_that_shrinks_below_its_segment_size_is_lost() {
    for sending in [true, false] {
        for (octets, arrives) in [(100, false), (3000, true)] {
            in_namespace(move || {
                if !sending && try_run("ethtool -k lo").is_err() {
                    println!("skipped: there is no ethtool");
                    return;
                }
                let mut end = None;
                let mut acknowledged = false;
                gateway(Backend::Netlink, sending, &mut |packet| {
                    let field = |at: usize| u32::from_be_bytes(packet.data[at..at + 4].try_into().unwrap());
                    let (from_server, sequence, acknowledgement) = (packet.data[14] == 2, field(24), field(28));
                    if let Some(end) = end {
                        acknowledged |= from_server && acknowledgement == end;
                    } else if packet.offloaded && packet.data.len() > 4000 {
                        end = Some(sequence.wrapping_add(u32::try_from(octets).unwrap()));
                        return in_capitals(packet.data, octets);
                    }
                    None
                });
                assert!(end.is_some());
                assert_eq!(acknowledged, arrives, "{octets} octets, sending {sending}");
            });
        }
    }
}

/// Sends a pattern over a connection whose packets go through the queue, and checks what arrives: the same, in capitals if `judge`
/// makes them so.
fn transfer(
    mut queue: Box<dyn PacketQueue>,
    listener: TcpListener,
    send: impl FnOnce() + Send + 'static,
    judge: &mut dyn FnMut(&Queued<'_>) -> Option<Vec<u8>>,
) -> queue::QueueStatistics {
    let sender = thread::spawn(send);
    let receiver = thread::spawn(move || receive_pattern(&listener));
    let waker = queue.waker();
    let end = thread::spawn(move || {
        sender.join().unwrap();
        let received = receiver.join().unwrap();
        waker.wake();
        received
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match queue.receive(Some(deadline)).unwrap() {
            Received::Packet(packet) => {
                let id = packet.id;
                match judge(&packet) {
                    Some(octets) => queue.verdict(id, Disposition::Replace { octets: &octets, mark: None }).unwrap(),
                    None => queue.verdict(id, ACCEPT).unwrap(),
                }
            }
            Received::Woken => break,
            Received::Deadline => panic!("the transfer does not end: {:?}", queue.statistics()),
        }
    }
    let received = end.join().unwrap();
    assert_eq!(received.len(), PATTERN_LENGTH);
    assert!(received.eq_ignore_ascii_case(&pattern()), "other octets arrived");
    let statistics = queue.statistics();
    assert_eq!(statistics.uninspected, 0);
    statistics
}

const PATTERN_LENGTH: usize = 4 << 20;

fn pattern() -> Vec<u8> {
    (0..PATTERN_LENGTH).map(|at| b'a' + u8::try_from((at * 7 + at / 1000) % 26).unwrap()).collect()
}

fn send_pattern(target: &str) {
    let mut stream = TcpStream::connect(target).unwrap();
    stream.write_all(&pattern()).unwrap();
}

fn receive_pattern(listener: &TcpListener) -> Vec<u8> {
    let mut received = Vec::new();
    listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
    received
}
