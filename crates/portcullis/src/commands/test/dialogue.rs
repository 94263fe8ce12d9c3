//! A dialogue as packets: what a test of a policy sends goes the way that packets go.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use portcullis_engine::{Engine, Grammars, Output};
use portcullis_lang::Direction;
use portcullis_wire::{BuildError, LinkType, SequenceNumber, TcpFlags, TcpPacket, Timestamp, UdpPacket};

/// Addresses for documentation (RFC 5737).
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 40_000);
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

/// Octets of a segment, as on an Ethernet.
const SEGMENT: usize = 1460;

/// Nanoseconds from one packet to the next.
const PACE: i64 = 1_000_000;

/// Two sides that speak to each other through an engine.
pub(super) struct Dialogue {
    server: SocketAddr,
    datagrams: bool,
    /// By direction: the number of the next octet.
    next: [u32; 2],
    packets: u64,
}

impl Dialogue {
    /// A dialogue on the first port of a protocol; over TCP where it has both.
    pub(super) fn new(grammars: &Grammars, protocol: &str) -> Option<Dialogue> {
        let program = grammars.program(grammars.by_name(protocol)?)?;
        let transports = &program.protocol().transports;
        let transport = transports.iter().find(|transport| !transport.datagrams).or(transports.first())?;
        let server = SocketAddr::new(SERVER, *transport.ports.first()?);
        Some(Dialogue { server, datagrams: transport.datagrams, next: [1000, 2000], packets: 0 })
    }

    /// Sends octets of one side.
    pub(super) fn send(
        &mut self,
        direction: Direction,
        octets: &[u8],
        engine: &mut Engine,
        output: &mut dyn Output,
    ) -> Result<(), BuildError> {
        if self.datagrams {
            let (source, destination) = self.ends(direction);
            let packet = UdpPacket { source, destination, payload: octets }.build()?;
            self.give(&packet, engine, output);
            return Ok(());
        }
        if self.packets == 0 {
            self.segment(Direction::Up, TcpFlags::SYN, &[], engine, output)?;
            self.segment(Direction::Down, TcpFlags::SYN | TcpFlags::ACK, &[], engine, output)?;
            self.segment(Direction::Up, TcpFlags::ACK, &[], engine, output)?;
        }
        for piece in octets.chunks(SEGMENT) {
            self.segment(direction, TcpFlags::PSH | TcpFlags::ACK, piece, engine, output)?;
        }
        Ok(())
    }

    fn segment(
        &mut self,
        direction: Direction,
        flags: TcpFlags,
        payload: &[u8],
        engine: &mut Engine,
        output: &mut dyn Output,
    ) -> Result<(), BuildError> {
        let (source, destination) = self.ends(direction);
        let number = |direction: Direction| self.next.get(direction.index()).copied().unwrap_or(0);
        let packet = TcpPacket {
            source,
            destination,
            sequence: SequenceNumber(number(direction)),
            acknowledgement: SequenceNumber(if flags.contains(TcpFlags::ACK) { number(direction.other()) } else { 0 }),
            flags,
            window: u16::MAX,
            options: &[],
            payload,
        }
        .build()?;
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        if let Some(next) = self.next.get_mut(direction.index()) {
            *next = next.wrapping_add(length).wrapping_add(u32::from(flags.contains(TcpFlags::SYN)));
        }
        self.give(&packet, engine, output);
        Ok(())
    }

    fn ends(&self, direction: Direction) -> (SocketAddr, SocketAddr) {
        match direction {
            Direction::Up => (CLIENT, self.server),
            Direction::Down => (self.server, CLIENT),
        }
    }

    fn give(&mut self, packet: &[u8], engine: &mut Engine, output: &mut dyn Output) {
        self.packets = self.packets.saturating_add(1);
        let time = Timestamp(i64::try_from(self.packets).unwrap_or(i64::MAX).saturating_mul(PACE));
        let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        engine.packet(self.packets, time, LinkType::RawIp, packet, length, output);
    }
}
