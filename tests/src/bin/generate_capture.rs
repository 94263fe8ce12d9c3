//! Writes a capture of mail sessions, as large as one likes: `generate_capture FILE MEGABYTES`.
//!
//! It is for measuring, not for testing what is understood: 64 interleaved flows of one mail each, segments of full size,
//! an acknowledgement for every second one, and now and then two neighbours that change places. The same size gives the
//! same octets.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use portcullis_capture::{CaptureWriter, Packet};
use portcullis_wire::{LinkType, SequenceNumber, TcpFlags, TcpPacket, Timestamp};

/// Flows at a time.
const FLOWS: usize = 64;
/// Octets of a segment on an Ethernet, with TCP timestamps.
const SEGMENT: usize = 1448;
/// Octets of the body of a mail, on average.
const BODY: u64 = 50_000;
/// One of so many neighbouring segments changes places with the next.
const REORDERED: u64 = 50;
/// Nanoseconds from one packet to the next.
const PACE: i64 = 25_000;

const WORDS: [&str; 24] = [
    "gate", "flow", "record", "mail", "under", "over", "a", "the", "and", "of", "to", "from", "with", "stone", "iron",
    "chain", "river", "bridge", "letter", "courier", "seal", "evening", "answer", "road",
];

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(path), Some(megabytes), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        bail!("usage: generate_capture FILE MEGABYTES");
    };
    let megabytes: u64 = megabytes.to_str().and_then(|text| text.parse().ok()).context("MEGABYTES is no number")?;
    let path = PathBuf::from(path);
    // Nobody finds half a capture under the name.
    let unfinished = path.with_extension("unfinished");
    let totals = generate(&unfinished, megabytes.saturating_mul(1_000_000))?;
    std::fs::rename(&unfinished, &path)?;
    println!("{}: {} octets, {} packets, {} mails", path.display(), totals.octets, totals.packets, totals.mails);
    Ok(())
}

struct Totals {
    octets: u64,
    packets: u64,
    mails: u64,
}

fn generate(path: &Path, least: u64) -> Result<Totals> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut writer = CaptureWriter::pcap(BufWriter::with_capacity(1 << 20, file), LinkType::Ethernet)?;
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut totals = Totals { octets: 24, packets: 0, mails: 0 };
    let mut flows: Vec<Flow> = Vec::new();
    loop {
        let pending: u64 = flows.iter().map(|flow| flow.octets_left).sum();
        if flows.len() < FLOWS && totals.octets.saturating_add(pending) < least {
            flows.push(Flow::new(totals.mails, &mut chance));
            totals.mails += 1;
            continue;
        }
        if flows.is_empty() {
            break;
        }
        let at = chance.below(flows.len() as u64) as usize;
        let Some(flow) = flows.get_mut(at) else { break };
        for _ in 0..=chance.below(4) {
            let Some(frame) = flow.next_frame()? else { break };
            totals.packets += 1;
            let time = Timestamp::from_seconds(1_700_000_000).0.saturating_add(totals.packets as i64 * PACE);
            writer.write(&Packet::new(Timestamp(time), LinkType::Ethernet, &frame), None)?;
            totals.octets += frame.len() as u64 + 16;
        }
        if flow.is_done() {
            flows.swap_remove(at);
        }
    }
    writer.finish()?.flush()?;
    Ok(totals)
}

/// A session, written down before its first packet is sent.
struct Flow {
    ends: [SocketAddr; 2],
    next: [u32; 2],
    planned: Vec<Planned>,
    sent: usize,
    octets_left: u64,
}

struct Planned {
    from_server: bool,
    flags: TcpFlags,
    sequence: u32,
    acknowledgement: u32,
    payload: Vec<u8>,
}

impl Flow {
    fn new(number: u64, chance: &mut Chance) -> Flow {
        let low = |shift: u32| (number >> shift) as u8;
        let client = Ipv4Addr::new(10, low(14), low(6), 1 + (low(0) & 0x3f));
        let server = Ipv4Addr::new(192, 168, 20, 1 + (low(0) & 0x0f));
        let port = 1025 + (number.wrapping_mul(7) % 60_000) as u16;
        let mut flow = Flow {
            ends: [SocketAddr::new(IpAddr::V4(client), port), SocketAddr::new(IpAddr::V4(server), 25)],
            next: [chance.next() as u32, chance.next() as u32],
            planned: Vec::new(),
            sent: 0,
            octets_left: 0,
        };
        flow.plan(false, TcpFlags::SYN, Vec::new());
        flow.plan(true, TcpFlags::SYN | TcpFlags::ACK, Vec::new());
        flow.plan(false, TcpFlags::ACK, Vec::new());
        flow.server("220 mx.example.org ESMTP\r\n");
        flow.client(format!("EHLO host{number}.example.com\r\n"));
        flow.server("250-mx.example.org\r\n250-SIZE 52428800\r\n250 8BITMIME\r\n");
        flow.client(format!("MAIL FROM:<writer{}@sender{}.example.com>\r\n", number % 997, number % 53));
        flow.server("250 2.1.0 Ok\r\n");
        flow.client(format!("RCPT TO:<reader{}@example.org>\r\n", number % 1009));
        flow.server("250 2.1.5 Ok\r\n");
        flow.client("DATA\r\n".to_owned());
        flow.server("354 End data with <CR><LF>.<CR><LF>\r\n");
        flow.client(mail(number, chance));
        flow.server(&format!("250 2.0.0 Ok: queued as {number:08X}\r\n"));
        flow.client("QUIT\r\n".to_owned());
        flow.server("221 2.0.0 Bye\r\n");
        flow.plan(false, TcpFlags::FIN | TcpFlags::ACK, Vec::new());
        flow.plan(true, TcpFlags::FIN | TcpFlags::ACK, Vec::new());
        flow.plan(false, TcpFlags::ACK, Vec::new());
        flow.reorder(chance);
        flow.octets_left = flow.planned.iter().map(|planned| planned.payload.len() as u64 + 70).sum();
        flow
    }

    fn client(&mut self, text: String) {
        self.say(false, text.as_bytes());
    }

    fn server(&mut self, text: &str) {
        self.say(true, text.as_bytes());
    }

    fn say(&mut self, from_server: bool, octets: &[u8]) {
        for (index, piece) in octets.chunks(SEGMENT).enumerate() {
            if index > 0 && index % 2 == 0 {
                self.plan(!from_server, TcpFlags::ACK, Vec::new());
            }
            self.plan(from_server, TcpFlags::PSH | TcpFlags::ACK, piece.to_vec());
        }
        self.plan(!from_server, TcpFlags::ACK, Vec::new());
    }

    fn plan(&mut self, from_server: bool, flags: TcpFlags, payload: Vec<u8>) {
        let [client, server] = self.next;
        let (sequence, acknowledgement) = if from_server { (server, client) } else { (client, server) };
        let controls = u32::from(flags.contains(TcpFlags::SYN) || flags.contains(TcpFlags::FIN));
        let after = sequence.wrapping_add(payload.len() as u32).wrapping_add(controls);
        self.next = if from_server { [client, after] } else { [after, server] };
        self.planned.push(Planned { from_server, flags, sequence, acknowledgement, payload });
    }

    /// Only data of one side changes places: an acknowledgement never comes before what it acknowledges.
    fn reorder(&mut self, chance: &mut Chance) {
        for at in 1..self.planned.len() {
            let (before, after) = self.planned.split_at_mut(at);
            let (Some(one), Some(other)) = (before.last_mut(), after.first_mut()) else { continue };
            let movable = one.from_server == other.from_server && !one.payload.is_empty() && !other.payload.is_empty();
            if movable && chance.below(REORDERED) == 0 {
                std::mem::swap(one, other);
            }
        }
    }

    fn is_done(&self) -> bool {
        self.sent >= self.planned.len()
    }

    fn next_frame(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(planned) = self.planned.get(self.sent) else { return Ok(None) };
        self.sent += 1;
        let [client, server] = self.ends;
        let (source, destination) = if planned.from_server { (server, client) } else { (client, server) };
        let packet = TcpPacket {
            source,
            destination,
            sequence: SequenceNumber(planned.sequence),
            acknowledgement: SequenceNumber(planned.acknowledgement),
            flags: planned.flags,
            window: 64_240,
            // Two octets of padding and timestamps, as most hosts send them with every segment.
            options: &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1],
            payload: &planned.payload,
        }
        .build()?;
        let mut frame = Vec::with_capacity(packet.len() + 14);
        frame.extend([2, 0, 0, 0, 0, 2 - u8::from(planned.from_server)]);
        frame.extend([2, 0, 0, 0, 0, 1 + u8::from(planned.from_server)]);
        frame.extend([0x08, 0x00]);
        frame.extend(packet);
        self.octets_left = self.octets_left.saturating_sub(frame.len() as u64 + 16);
        Ok(Some(frame))
    }
}

fn mail(number: u64, chance: &mut Chance) -> String {
    let size = BODY / 2 + chance.below(BODY);
    let mut text = format!(
        "From: writer{number}@example.com\r\nTo: reader{number}@example.org\r\nSubject: letter {number}\r\n\
         Message-ID: <{number}@example.com>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n"
    );
    while (text.len() as u64) < size {
        for _ in 0..12 {
            text.push_str(WORDS.get(chance.below(WORDS.len() as u64) as usize).copied().unwrap_or("gate"));
            text.push(' ');
        }
        text.push_str("\r\n");
    }
    text.push_str(".\r\n");
    text
}

/// Numbers that look random and are the same every time (xorshift, Marsaglia 2003).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}
