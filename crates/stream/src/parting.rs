//! The end of a connection that a gateway refuses or resets: what it says to both sides, and how it answers them after.
//!
//! A refusal is a reply in the server's name, then the end of the server's stream; the server itself is told by a reset that
//! its client has gone. The client may be in the middle of something (a mail of many megabytes) and reads the reply only
//! when it has written all of it: so it is acknowledged and discarded what it writes, until it closes too.

use std::net::SocketAddr;
use std::time::Duration;

use portcullis_lang::Direction;
use portcullis_wire::{SequenceNumber, TcpFlags, TcpPacket, TcpSegment, TcpTimestamps, Timestamp};

use smallvec::SmallVec;

use crate::flow::FlowKey;
use crate::own::{self, OptionOctets};

/// The window that the gate gives to a client whose octets it discards.
const WINDOW: u16 = u16::MAX;

/// When the reply is said again for the first time; the time doubles with each.
const FIRST_REPEAT: Duration = Duration::from_millis(300);

/// How often the reply is said at most.
const MOST_REPEATS: u32 = 8;

/// How long a client may be silent before it is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a reset is said again, as nobody acknowledges it: a host that is reset already says nothing to it.
const RESET_REPEATS: u32 = 3;

/// How many packets are answered with a reset at most.
const MOST_RESETS: u32 = 64;

/// Where a connection stands when it is parted: up first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// By direction: the number after all that came from the sender.
    pub came: [SequenceNumber; 2],
    /// By direction: the number that the receiver expects next, which is the one after all that was let through.
    pub expected: [SequenceNumber; 2],
    /// By direction: what the clock of the sender said last, if both sides send timestamps. Where they were agreed on, a
    /// receiver may drop segments without them (RFC 7323, section 3.2).
    pub clocks: [Option<u32>; 2],
    /// What the server has said, up to `expected`, and the client has not acknowledged. The server is told to forget it, so
    /// that nobody but the gate can repeat it, and the client reads no reply behind a hole.
    pub unacknowledged: Vec<u8>,
}

/// A connection for whose sides the gate speaks.
#[derive(Debug)]
pub struct Parting {
    client: SocketAddr,
    server: SocketAddr,
    /// The next number of the client that was not taken.
    taken: SequenceNumber,
    /// The number of the first octet of what may have to be said.
    first: SequenceNumber,
    /// How much of it the server has said itself, and is said only again.
    said: usize,
    /// The number that the client expects next, as far as it was heard.
    heard: SequenceNumber,
    /// What is said to the client after `first`; empty for a reset.
    reply: Vec<u8>,
    /// The clocks of both sides, up first.
    clocks: [Option<u32>; 2],
    /// Octets of one packet at most, without its headers.
    most: usize,
    resets: bool,
    /// The client has the reply and the end.
    acknowledged: bool,
    /// The client has closed.
    closed: bool,
    over: bool,
    repeats: u32,
    repeat_at: Timestamp,
    last: Timestamp,
    answered: u32,
    /// The resets that were sent: to the server, and of a connection that is reset to the client.
    sent: SmallVec<[TcpReset; 2]>,
    reset_again: u32,
    reset_again_at: Timestamp,
}

/// A reset that was sent.
#[derive(Clone, Copy, Debug)]
struct TcpReset {
    /// Whose packets are answered by it.
    to: Direction,
    sequence: SequenceNumber,
    acknowledgement: SequenceNumber,
}

impl Parting {
    /// Says a reply to the client, in the server's name, and ends the connection.
    pub fn refuse(
        key: &FlowKey,
        standing: &Standing,
        reply: &[u8],
        mtu: u16,
        now: Timestamp,
        send: &mut Vec<Vec<u8>>,
    ) -> Parting {
        let mut parting = Parting::new(key, standing, reply, mtu, now);
        parting.speak(parting.said, send);
        parting.tell_broken(Direction::Down, standing, send);
        parting
    }

    /// Tells both sides that the connection is broken.
    pub fn reset(key: &FlowKey, standing: &Standing, now: Timestamp, send: &mut Vec<Vec<u8>>) -> Parting {
        let mut parting = Parting::new(key, standing, &[], u16::MAX, now);
        parting.resets = true;
        parting.tell_broken(Direction::Up, standing, send);
        parting.tell_broken(Direction::Down, standing, send);
        parting
    }

    fn new(key: &FlowKey, standing: &Standing, reply: &[u8], mtu: u16, now: Timestamp) -> Parting {
        let headers = if key.client.is_ipv4() { 40 } else { 60 } + timestamps(standing.clocks).len();
        Parting {
            client: key.client,
            server: key.server,
            taken: standing.came[0],
            first: standing.expected[1] - standing.unacknowledged.len() as u32,
            said: standing.unacknowledged.len(),
            heard: standing.expected[1] - standing.unacknowledged.len() as u32,
            reply: [&standing.unacknowledged, reply].concat(),
            clocks: standing.clocks,
            most: usize::from(mtu).saturating_sub(headers).max(1),
            resets: false,
            acknowledged: false,
            closed: false,
            over: false,
            repeats: 0,
            repeat_at: now.saturating_add(FIRST_REPEAT),
            last: now,
            answered: 0,
            sent: SmallVec::new(),
            reset_again: 0,
            reset_again_at: now.saturating_add(FIRST_REPEAT),
        }
    }

    /// Sends a reset, in the name of the other side.
    fn send_reset(&mut self, reset: TcpReset, send: &mut Vec<Vec<u8>>) {
        match self.sent.iter_mut().find(|sent| sent.to == reset.to) {
            Some(sent) => *sent = reset,
            None => self.sent.push(reset),
        }
        let (from, to) = match reset.to {
            Direction::Up => (self.server, self.client),
            Direction::Down => (self.client, self.server),
        };
        send.extend(TcpPacket::reset(from, to, reset.sequence, reset.acknowledgement).build());
    }

    /// Answers a packet of either side.
    pub fn packet(&mut self, direction: Direction, segment: &TcpSegment<'_>, now: Timestamp, send: &mut Vec<Vec<u8>>) {
        let reset = segment.flags.contains(TcpFlags::RST);
        if direction == Direction::Down || self.resets {
            // It has not heard that the connection is broken; what it acknowledges is what it expects next.
            if !reset && self.answered < MOST_RESETS && segment.flags.contains(TcpFlags::ACK) {
                self.answered += 1;
                let acknowledgement = segment.sequence_end();
                self.send_reset(TcpReset { to: direction, sequence: segment.acknowledgement, acknowledgement }, send);
            }
            return;
        }
        self.last = now;
        if let (Some(clock), Some(timestamps)) = (&mut self.clocks[0], segment.options.timestamps())
            && (timestamps.value.wrapping_sub(*clock) as i32) > 0
        {
            *clock = timestamps.value;
        }
        if reset {
            self.over = true;
            return;
        }
        if segment.flags.contains(TcpFlags::ACK) {
            if self.heard.lt(segment.acknowledgement) && segment.acknowledgement.le(self.end()) {
                self.heard = segment.acknowledgement;
                self.repeats = 0;
            }
            self.acknowledged |= self.heard == self.end();
        }
        // An old number without octets asks whether anybody is there.
        if segment.sequence_length() == 0 && self.taken.le(segment.sequence) {
            return;
        }
        let end = segment.sequence_end();
        if segment.sequence.le(self.taken) && self.taken.le(end) {
            self.closed |= segment.flags.contains(TcpFlags::FIN);
            self.taken = end;
        }
        // What lies behind a hole is acknowledged no further than the hole, and comes again.
        send.extend(self.to_client(self.end(), TcpFlags::ACK, &[]));
    }

    /// A packet in the server's name.
    fn to_client(&self, sequence: SequenceNumber, flags: TcpFlags, payload: &[u8]) -> Option<Vec<u8>> {
        let packet = TcpPacket {
            source: self.server,
            destination: self.client,
            sequence,
            acknowledgement: self.taken,
            flags,
            window: WINDOW,
            options: &timestamps(self.clocks),
            payload,
        };
        packet.build().ok()
    }

    /// Does what time asks for; whether there is anything left to wait for.
    pub fn tick(&mut self, now: Timestamp, send: &mut Vec<Vec<u8>>) -> bool {
        if self.reset_again < RESET_REPEATS && now >= self.reset_again_at {
            self.reset_again += 1;
            self.reset_again_at = now.saturating_add(FIRST_REPEAT.saturating_mul(1 << self.reset_again));
            for reset in self.sent.clone() {
                self.send_reset(reset, send);
            }
        }
        if self.resets || self.over || (self.acknowledged && self.closed) {
            return self.reset_again < RESET_REPEATS;
        }
        if now >= self.last.saturating_add(PATIENCE) {
            send.extend(TcpPacket::reset(self.server, self.client, self.end(), self.taken).build());
            self.over = true;
            return false;
        }
        if !self.acknowledged && now >= self.repeat_at && self.repeats < MOST_REPEATS {
            self.repeats += 1;
            self.repeat_at = now.saturating_add(FIRST_REPEAT.saturating_mul(1 << self.repeats.min(6)));
            let heard = self.heard.distance_from(self.first);
            self.speak(usize::try_from(heard).unwrap_or(0), send);
        }
        true
    }

    /// The number after the reply and the end of the server's stream.
    fn end(&self) -> SequenceNumber {
        SequenceNumber(self.first.0.wrapping_add(self.reply.len() as u32).wrapping_add(1))
    }

    /// Says the reply from one of its octets on, and ends the server's stream.
    fn speak(&self, from: usize, send: &mut Vec<Vec<u8>>) {
        let from = from.min(self.reply.len());
        let mut sequence = self.first + from as u32;
        let rest = self.reply.get(from..).unwrap_or_default();
        if rest.is_empty() {
            send.extend(self.to_client(sequence, TcpFlags::FIN | TcpFlags::ACK, &[]));
        }
        let mut chunks = rest.chunks(self.most).peekable();
        while let Some(payload) = chunks.next() {
            let end = if chunks.peek().is_none() { TcpFlags::FIN } else { TcpFlags::EMPTY };
            send.extend(self.to_client(sequence, TcpFlags::PSH | TcpFlags::ACK | end, payload));
            sequence = SequenceNumber(sequence.0.wrapping_add(payload.len() as u32));
        }
    }

    /// Tells a side that the connection is broken: the one that sends in a direction.
    fn tell_broken(&mut self, to: Direction, standing: &Standing, send: &mut Vec<Vec<u8>>) {
        let sequence = standing.expected[to.other().index()];
        let acknowledgement = standing.came[to.index()];
        self.send_reset(TcpReset { to, sequence, acknowledgement }, send);
    }
}

/// Timestamps of the server for the client, if both send them.
fn timestamps(clocks: [Option<u32>; 2]) -> OptionOctets {
    let [client, server] = clocks;
    let timestamps = client.zip(server).map(|(echo, value)| TcpTimestamps { value, echo });
    own::options(timestamps, &[])
}

#[cfg(test)]
mod tests {
    use portcullis_wire::{LinkType, Network, Transport, decode};

    use super::*;
    use crate::flow::Protocol;

    const NOW: Timestamp = Timestamp(0);

    fn key() -> FlowKey {
        FlowKey {
            protocol: Protocol::Tcp,
            client: "192.0.2.1:40000".parse().unwrap(),
            server: "192.0.2.2:25".parse().unwrap(),
            vlan: 0,
        }
    }

    fn standing() -> Standing {
        Standing {
            came: [SequenceNumber(1100), SequenceNumber(5050)],
            expected: [SequenceNumber(1060), SequenceNumber(5050)],
            clocks: [None; 2],
            unacknowledged: Vec::new(),
        }
    }

    /// A packet in short: who sends, flags, number, acknowledgement, payload.
    fn told(packet: &[u8]) -> String {
        let Network::Ip(ip) = decode(LinkType::RawIp, packet).network else { panic!("IP") };
        let Transport::Tcp(segment) = ip.transport() else { panic!("TCP") };
        assert!(ip.verify_transport().is_acceptable());
        let side = if segment.source_port == 25 { "server" } else { "client" };
        let text = String::from_utf8_lossy(segment.payload).into_owned();
        format!("{side} {} {} {} {text:?}", segment.flags, segment.sequence.0, segment.acknowledgement.0)
    }

    fn client(parting: &mut Parting, sequence: u32, ack: u32, flags: TcpFlags, payload: &[u8]) -> Vec<String> {
        let packet = TcpPacket {
            source: key().client,
            destination: key().server,
            sequence: SequenceNumber(sequence),
            acknowledgement: SequenceNumber(ack),
            flags,
            window: 1000,
            options: &[],
            payload,
        };
        let octets = packet.build().unwrap();
        let Network::Ip(ip) = decode(LinkType::RawIp, &octets).network else { panic!("IP") };
        let Transport::Tcp(segment) = ip.transport() else { panic!("TCP") };
        let mut send = Vec::new();
        parting.packet(Direction::Up, &segment, NOW, &mut send);
        send.iter().map(|packet| told(packet)).collect()
    }

    #[test]
    fn a_refusal_says_the_reply_with_the_right_numbers() {
        let mut send = Vec::new();
        let mut parting = Parting::refuse(&key(), &standing(), b"550 no\r\n", 1500, NOW, &mut send);
        let told: Vec<String> = send.iter().map(|packet| told(packet)).collect();
        assert_eq!(told, ["server FPA 5050 1100 \"550 no\\r\\n\"", "client RA 1060 5050 \"\""]);
        // It writes on; all of it is acknowledged, but nothing behind a hole.
        assert_eq!(client(&mut parting, 1100, 5050, TcpFlags::ACK, b"abc"), ["server A 5059 1103 \"\""]);
        assert_eq!(client(&mut parting, 1110, 5050, TcpFlags::ACK, b"abc"), ["server A 5059 1103 \"\""]);
        assert!(parting.tick(NOW, &mut Vec::new()));
        assert!(client(&mut parting, 1103, 5059, TcpFlags::ACK, b"").is_empty());
        assert_eq!(client(&mut parting, 1103, 5059, TcpFlags::ACK | TcpFlags::FIN, b""), ["server A 5059 1104 \"\""]);
        // Both have closed; only the server may not have heard.
        let mut again = Vec::new();
        let ends = (1..60).position(|tenths| !parting.tick(Timestamp(tenths * 100_000_000), &mut again));
        let again: Vec<String> = again.iter().map(|packet| self::told(packet)).collect();
        assert_eq!((ends, again), (Some(20), vec!["client RA 1060 5050 \"\"".to_string(); 3]));
    }

    #[test]
    fn what_was_not_heard_is_said_again_but_not_for_ever() {
        let mut send = Vec::new();
        let mut parting = Parting::refuse(&key(), &standing(), b"550 no\r\n", 1500, NOW, &mut send);
        let mut said = 0;
        let mut seconds = 0.0;
        loop {
            seconds += 0.1;
            let mut send = Vec::new();
            let goes_on = parting.tick(Timestamp((seconds * 1e9) as i64), &mut send);
            said += send.iter().filter(|packet| told(packet).contains("550 no")).count();
            if !goes_on {
                let last: Vec<String> = send.iter().map(|packet| told(packet)).collect();
                assert_eq!(last, ["server RA 5059 1100 \"\""], "it is given up");
                break;
            }
        }
        assert!((5..=8).contains(&said), "{said}");
        assert!((30.0..31.0).contains(&seconds), "{seconds}");
    }

    #[test]
    fn what_the_server_has_said_and_the_client_has_not_got_is_said_again() {
        let mut send = Vec::new();
        let standing = Standing { unacknowledged: b"354 go\r\n".to_vec(), ..standing() };
        let mut parting = Parting::refuse(&key(), &standing, b"550 no\r\n", 1500, NOW, &mut send);
        assert_eq!(told(&send[0]), "server FPA 5050 1100 \"550 no\\r\\n\"");
        let mut again = Vec::new();
        parting.tick(Timestamp(1_000_000_000), &mut again);
        assert_eq!(told(&again[1]), "server FPA 5042 1100 \"354 go\\r\\n550 no\\r\\n\"");
        assert!(client(&mut parting, 1100, 5050, TcpFlags::ACK, b"").is_empty());
        again.clear();
        parting.tick(Timestamp(2_000_000_000), &mut again);
        assert_eq!(told(&again[1]), "server FPA 5050 1100 \"550 no\\r\\n\"");
        assert!(client(&mut parting, 1100, 5058, TcpFlags::ACK, b"").is_empty());
        again.clear();
        parting.tick(Timestamp(4_000_000_000), &mut again);
        assert_eq!(told(&again[1]), "server FA 5058 1100 \"\"", "all but the end has come");
    }

    #[test]
    fn a_long_reply_is_cut_to_the_packets() {
        let mut send = Vec::new();
        Parting::refuse(&key(), &standing(), &[b'x'; 120], 100, NOW, &mut send);
        let heads: Vec<String> =
            send.iter().map(|packet| told(packet).split(' ').take(3).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(heads, ["server PA 5050", "server FPA 5110", "client RA 1060"]);
    }

    #[test]
    fn a_reset_goes_to_both_and_is_repeated_to_who_has_not_heard() {
        let mut send = Vec::new();
        let mut parting = Parting::reset(&key(), &standing(), NOW, &mut send);
        let told: Vec<String> = send.iter().map(|packet| told(packet)).collect();
        assert_eq!(told, ["server RA 5050 1100 \"\"", "client RA 1060 5050 \"\""]);
        assert_eq!(client(&mut parting, 1100, 5050, TcpFlags::ACK, b"ab"), ["server RA 5050 1102 \"\""]);
        for _ in 0..200 {
            client(&mut parting, 1100, 5050, TcpFlags::ACK, b"ab");
        }
        assert!(client(&mut parting, 1100, 5050, TcpFlags::ACK, b"ab").is_empty(), "not for ever");
    }
}
