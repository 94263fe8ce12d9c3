//! The player: a client of raw frames that says what a case tells it to.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use pnet_datalink::{Channel, Config, DataLinkReceiver, DataLinkSender};
use portcullis_wire::{
    LinkType, Network, SequenceNumber, TcpFlags, TcpPacket, Transport, decode, internet_checksum, transport_checksum,
};

use super::cases::{Case, Choice, Step};
use super::lab::{CLIENT_IPV4, CLIENT_IPV6, CLIENT_MAC, INTERFACE, SERVER_IPV4, SERVER_IPV6, SERVER_MAC};
use super::receiver::{EAGER, PATIENT};

/// How long an answer to a SYN is waited for.
const PATIENCE: Duration = Duration::from_millis(40);
/// How long an eager server is given to answer and to read.
const PAUSE: Duration = Duration::from_micros(300);
/// Where the clock of the client begins.
const CLOCK: u32 = 0x1000_0000;

const ETHERNET: usize = 14;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// A packet that was on the wire, from its IP header on.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Whether the client sent it.
    pub up: bool,
    /// The octets.
    pub octets: Vec<u8>,
}

/// What stands between the client and the wire.
pub trait Gate {
    /// Takes a packet from the client; gives what leaves.
    fn up(&mut self, octets: &[u8]) -> Vec<Vec<u8>>;
    /// Takes a packet from the server; gives whether it arrives.
    fn down(&mut self, octets: &[u8]) -> bool;
}

/// Nothing stands between them.
#[derive(Debug)]
pub struct Open;

impl Gate for Open {
    fn up(&mut self, octets: &[u8]) -> Vec<Vec<u8>> {
        vec![octets.to_vec()]
    }

    fn down(&mut self, _: &[u8]) -> bool {
        true
    }
}

/// A client on the wire.
pub struct Player {
    sender: Box<dyn DataLinkSender>,
    receiver: Box<dyn DataLinkReceiver>,
    identification: u32,
}

/// What the client knows of the server.
struct Talk {
    ends: [SocketAddr; 2],
    isn: u32,
    /// The number after the last that the server has sent.
    server: SequenceNumber,
    /// The timestamp that the server sent last.
    echo: u32,
    clock: u32,
    wire: Vec<Packet>,
}

impl Player {
    /// Opens the wire.
    pub fn open() -> Result<Player> {
        let interface = pnet_datalink::interfaces().into_iter().find(|interface| interface.name == INTERFACE);
        let interface = interface.with_context(|| format!("there is no interface {INTERFACE} in this namespace"))?;
        let config = Config { read_timeout: Some(Duration::ZERO), read_buffer_size: 1 << 16, ..Config::default() };
        match pnet_datalink::channel(&interface, config)? {
            Channel::Ethernet(sender, receiver) => Ok(Player { sender, receiver, identification: 0 }),
            _ => bail!("{INTERFACE} is no Ethernet"),
        }
    }

    /// Plays a case from a port, and gives what was on the wire, in the order in which the receiver saw it.
    ///
    /// A veth pair hands a frame over within the call that sends it, so that an answer to it is there when the call returns.
    pub fn play(&mut self, case: &Case, port: u16, gate: &mut dyn Gate) -> Result<Vec<Packet>> {
        let (client, server): (IpAddr, IpAddr) = match case.version_6 {
            true => (CLIENT_IPV6.into(), SERVER_IPV6.into()),
            false => (CLIENT_IPV4.into(), SERVER_IPV4.into()),
        };
        let server_port = if case.eager { EAGER } else { PATIENT };
        let mut talk = Talk {
            ends: [SocketAddr::new(client, port), SocketAddr::new(server, server_port)],
            isn: case.isn,
            server: SequenceNumber(0),
            echo: 0,
            clock: CLOCK,
            wire: Vec::new(),
        };
        for step in &case.steps {
            talk.clock = talk.clock.wrapping_add(10);
            for packet in self.packets(step, &talk) {
                for octets in gate.up(&packet) {
                    self.send(&octets, case.version_6)?;
                    talk.wire.push(Packet { up: true, octets });
                    self.listen(&mut talk, gate, Duration::ZERO)?;
                }
            }
            if case.eager {
                self.listen(&mut talk, gate, PAUSE)?;
            }
            if step.flags == TcpFlags::SYN && talk.wire.iter().all(|packet| packet.up) {
                self.listen(&mut talk, gate, PATIENCE)?;
            }
        }
        self.listen(&mut talk, gate, Duration::ZERO)?;
        Ok(talk.wire)
    }

    /// The IP packets of a step.
    fn packets(&mut self, step: &Step, talk: &Talk) -> Vec<Vec<u8>> {
        let [source, destination] = talk.ends;
        let sequence = talk.isn.wrapping_add(step.shift).wrapping_add(1).wrapping_add(step.at as u32);
        let acknowledges = step.flags.contains(TcpFlags::ACK);
        let acknowledgement = talk.server.0.wrapping_add(step.ack as u32);
        let packet = TcpPacket {
            source,
            destination,
            sequence: SequenceNumber(sequence),
            acknowledgement: SequenceNumber(if acknowledges { acknowledgement } else { 0 }),
            flags: step.flags,
            window: step.window,
            options: &options(&step.options, talk),
            payload: &step.payload,
        };
        let mut octets = packet.build().unwrap_or_default();
        let header = if source.is_ipv4() { IPV4_HEADER } else { IPV6_HEADER };
        if let Some(tcp) = octets.get_mut(header..) {
            tcp[18..20].copy_from_slice(&step.urgent.to_be_bytes());
            tcp[16..18].fill(0);
            let checksum = transport_checksum(source.ip(), destination.ip(), 6, tcp);
            let checksum = if step.broken { checksum ^ 0x0101 } else { checksum };
            tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
        }
        if step.pieces.is_empty() {
            return vec![octets];
        }
        self.identification = self.identification.wrapping_add(2);
        let (ip, whole) = octets.split_at(header);
        let pieces = step.pieces.iter().map(|piece| {
            let begin = (usize::from(piece.offset) * 8).min(whole.len());
            let end = piece.length.map_or(whole.len(), |length| (begin + length).min(whole.len()));
            let more = piece.length.is_some();
            let mut part = whole[begin..end].to_vec();
            if piece.forged {
                part.iter_mut().for_each(|octet| *octet = b'!');
            }
            let identification = self.identification.wrapping_add(u32::from(piece.other));
            fragment(ip, piece.offset, more, identification, &part)
        });
        pieces.collect()
    }

    fn send(&mut self, octets: &[u8], version_6: bool) -> Result<()> {
        let mut frame = Vec::with_capacity(ETHERNET + octets.len());
        frame.extend_from_slice(&SERVER_MAC);
        frame.extend_from_slice(&CLIENT_MAC);
        frame.extend_from_slice(if version_6 { &[0x86, 0xdd] } else { &[0x08, 0x00] });
        frame.extend_from_slice(octets);
        self.sender.send_to(&frame, None).context("the wire takes nothing")?.context("cannot send")
    }

    /// Takes what the server has sent; waits for the first answer so long.
    fn listen(&mut self, talk: &mut Talk, gate: &mut dyn Gate, patience: Duration) -> Result<()> {
        let since = Instant::now();
        loop {
            let frame = match self.receiver.next() {
                Ok(frame) => frame,
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    if since.elapsed() >= patience {
                        return Ok(());
                    }
                    std::thread::yield_now();
                    continue;
                }
                Err(error) => return Err(error).context("cannot receive"),
            };
            let decoded = decode(LinkType::Ethernet, frame);
            let Network::Ip(ip) = decoded.network else { continue };
            let Transport::Tcp(segment) = ip.transport() else { continue };
            let [client, server] = talk.ends;
            if (ip.source, segment.source_port) != (server.ip(), server.port())
                || segment.destination_port != client.port()
            {
                continue;
            }
            let octets = [ip.header, ip.payload].concat();
            let arrives = gate.down(&octets);
            if arrives && !segment.flags.contains(TcpFlags::RST) {
                talk.server = segment.sequence_end();
                talk.echo = segment.options.timestamps().map_or(talk.echo, |timestamps| timestamps.value);
            }
            talk.wire.push(Packet { up: false, octets });
        }
    }
}

fn options(choices: &[Choice], talk: &Talk) -> Vec<u8> {
    let mut options = Vec::new();
    for choice in choices {
        match choice {
            Choice::Mss(size) => {
                options.extend([2, 4]);
                options.extend(size.to_be_bytes());
            }
            Choice::Scale(shift) => options.extend([3, 3, *shift]),
            Choice::Sack => options.extend([4, 2]),
            Choice::Time(by) => {
                options.extend([8, 10]);
                options.extend(talk.clock.wrapping_add(*by as u32).to_be_bytes());
                options.extend(talk.echo.to_be_bytes());
            }
            Choice::Signature => {
                options.extend([19, 18]);
                options.extend([0x5a; 16]);
            }
            Choice::FastOpen => options.extend([34, 2]),
            Choice::Unknown => options.extend([253, 4, 1, 2]),
        }
    }
    while !options.len().is_multiple_of(4) {
        options.push(1);
    }
    options.truncate(40);
    options
}

/// A fragment with the addresses of a whole packet.
fn fragment(header: &[u8], offset: u16, more: bool, identification: u32, part: &[u8]) -> Vec<u8> {
    let mut packet = header.to_vec();
    if header.len() == IPV4_HEADER {
        packet[2..4].copy_from_slice(&((IPV4_HEADER + part.len()) as u16).to_be_bytes());
        packet[4..6].copy_from_slice(&(identification as u16).to_be_bytes());
        packet[6..8].copy_from_slice(&(offset | u16::from(more) << 13).to_be_bytes());
        packet[10..12].fill(0);
        let checksum = internet_checksum(&packet);
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    } else {
        packet[4..6].copy_from_slice(&((8 + part.len()) as u16).to_be_bytes());
        packet[6] = 44;
        packet.extend([6, 0]);
        packet.extend((offset << 3 | u16::from(more)).to_be_bytes());
        packet.extend(identification.to_be_bytes());
    }
    packet.extend_from_slice(part);
    packet
}
