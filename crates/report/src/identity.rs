//! What flows and their events are called in records.

use std::cell::OnceCell;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_lang::Direction;
use portcullis_stream::{FlowKey, Protocol};
use portcullis_wire::Timestamp;
use sha1::{Digest, Sha1};

/// The names of a flow, made once for it, when the first of its records needs them: of most flows no record is written where
/// only alerts are.
#[derive(Clone, Debug)]
pub struct FlowIdentity {
    /// Who talks to whom.
    pub key: FlowKey,
    /// The time of its first packet.
    pub start: Timestamp,
    flow_id: OnceCell<u64>,
    community_id: OnceCell<String>,
}

/// The names follow from the key and the time.
impl PartialEq for FlowIdentity {
    fn eq(&self, other: &FlowIdentity) -> bool {
        (self.key, self.start) == (other.key, other.start)
    }
}

impl Eq for FlowIdentity {}

impl FlowIdentity {
    /// Names a flow that began at `start`.
    ///
    /// The same flow of the same capture always has the same number, whatever else was read. Two flows have the same
    /// one with a probability of 2^-53.
    pub fn new(key: FlowKey, start: Timestamp) -> FlowIdentity {
        FlowIdentity { key, start, flow_id: OnceCell::new(), community_id: OnceCell::new() }
    }

    /// The number in records, from 1 to 2^53 - 1: readers that take numbers for floating point keep it exact.
    pub fn flow_id(&self) -> u64 {
        *self.flow_id.get_or_init(|| flow_id(&self.key, self.start))
    }

    /// The Community ID, under which other tools know the flow too.
    pub fn community_id(&self) -> &str {
        self.community_id.get_or_init(|| community_id(&self.key))
    }

    /// Sender and receiver of a packet of a direction.
    pub fn ends(&self, direction: Direction) -> (SocketAddr, SocketAddr) {
        match direction {
            Direction::Up => (self.key.client, self.key.server),
            Direction::Down => (self.key.server, self.key.client),
        }
    }
}

/// What an event of a flow is called: where in the flow it happened.
///
/// It is written `4216797076681711-c57`: the [`FlowIdentity::flow_id`], then `c` for what the client has sent or `s` for the
/// server, then how many octets of that side came before it. So it is the same whether the flow is judged as it passes or in
/// a capture of it, and whatever the policies are. Several events may lie at one place, and have one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventIdentity {
    /// The flow.
    pub flow_id: u64,
    /// Whose octets it lies in.
    pub direction: Direction,
    /// Octets of that direction before it.
    pub offset: u64,
}

impl EventIdentity {
    /// Reads a name as it is written; `None` if it is none.
    pub fn parse(name: &str) -> Option<EventIdentity> {
        let (flow_id, place) = name.split_once('-')?;
        let direction = match place.as_bytes().first()? {
            b'c' => Direction::Up,
            b's' => Direction::Down,
            _ => return None,
        };
        let number =
            |digits: &str| digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
        Some(EventIdentity { flow_id: number(flow_id)?, direction, offset: number(place.get(1..)?)? })
    }
}

impl fmt::Display for EventIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.direction {
            Direction::Up => 'c',
            Direction::Down => 's',
        };
        write!(f, "{}-{side}{}", self.flow_id, self.offset)
    }
}

/// The Community ID of a flow, version 1 with seed 0 (github.com/corelight/community-id-spec): both directions have the
/// same one.
pub fn community_id(key: &FlowKey) -> String {
    let (a, b) = (key.client, key.server);
    let (low, high) = if (octets(a.ip()), a.port()) <= (octets(b.ip()), b.port()) { (a, b) } else { (b, a) };
    let mut hash = Sha1::new();
    hash.update(0u16.to_be_bytes());
    hash.update(octets(low.ip()));
    hash.update(octets(high.ip()));
    hash.update([protocol_number(key.protocol), 0]);
    hash.update(low.port().to_be_bytes());
    hash.update(high.port().to_be_bytes());
    format!("1:{}", STANDARD.encode(hash.finalize()))
}

/// The first 53 bits of a hash of the flow's addresses, ports, protocol, VLAN and first packet's time; never 0.
fn flow_id(key: &FlowKey, start: Timestamp) -> u64 {
    let mut hash = Sha1::new();
    for end in [key.client, key.server] {
        let address = octets(end.ip());
        hash.update([u8::try_from(address.len()).unwrap_or(u8::MAX)]);
        hash.update(&address);
        hash.update(end.port().to_be_bytes());
    }
    hash.update([protocol_number(key.protocol)]);
    hash.update(key.vlan.to_be_bytes());
    hash.update(start.as_nanos().to_be_bytes());
    let digest = hash.finalize();
    let first = digest.iter().take(8).fold(0u64, |number, octet| (number << 8) | u64::from(*octet));
    (first >> 11).max(1)
}

fn octets(address: IpAddr) -> smallvec::SmallVec<[u8; 16]> {
    match address {
        IpAddr::V4(address) => address.octets().as_slice().into(),
        IpAddr::V6(address) => address.octets().as_slice().into(),
    }
}

/// The number of the protocol in the IP header.
fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(protocol: Protocol, client: &str, server: &str) -> FlowKey {
        FlowKey { protocol, client: client.parse().unwrap(), server: server.parse().unwrap(), vlan: 0 }
    }

    /// Vectors of the specification's own baseline, and two computed for this test with Python's hashlib.
    #[test]
    fn community_ids_are_those_of_other_tools() {
        let vectors = [
            (Protocol::Tcp, "128.232.110.120:34855", "66.35.250.204:80", "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
            (Protocol::Udp, "192.168.1.52:54585", "8.8.8.8:53", "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
            (Protocol::Tcp, "192.0.2.1:40000", "192.0.2.25:25", "1:kvnIPd4JgS+ds5wJT72AV2SoVj8="),
            (Protocol::Tcp, "[2001:db8::1]:40000", "[2001:db8::25]:25", "1:9QIpD2R/QzrD57OsyPfoT2rEzD0="),
        ];
        for (protocol, client, server, expected) in vectors {
            assert_eq!(community_id(&key(protocol, client, server)), expected);
            assert_eq!(community_id(&key(protocol, server, client)), expected, "the other direction");
        }
    }

    #[test]
    fn names_of_events_are_read_as_they_are_written() {
        let event = EventIdentity { flow_id: 4_216_797_076_681_711, direction: Direction::Up, offset: 57 };
        assert_eq!(event.to_string(), "4216797076681711-c57");
        for direction in Direction::BOTH {
            let event = EventIdentity { direction, ..event };
            assert_eq!(EventIdentity::parse(&event.to_string()), Some(event));
        }
        for none in ["", "1", "1-", "1-c", "1-x5", "-c5", "1-c-5", "1-c+5", "+1-c5", "1-c99999999999999999999", "1-é5"]
        {
            assert_eq!(EventIdentity::parse(none), None, "{none:?}");
        }
    }

    #[test]
    fn numbers_are_exact_in_floating_point_and_tell_flows_apart() {
        let one = key(Protocol::Tcp, "192.0.2.1:40000", "192.0.2.25:25");
        let start = Timestamp::from_seconds(1_700_000_000);
        let identity = FlowIdentity::new(one, start);
        assert_eq!(identity, FlowIdentity::new(one, start));
        let others = [
            FlowIdentity::new(FlowKey { vlan: 7, ..one }, start),
            FlowIdentity::new(FlowKey { protocol: Protocol::Udp, ..one }, start),
            FlowIdentity::new(one, Timestamp::from_seconds(1_700_000_001)),
            FlowIdentity::new(key(Protocol::Tcp, "192.0.2.1:40001", "192.0.2.25:25"), start),
        ];
        for other in others {
            assert_ne!(other.flow_id(), identity.flow_id());
            assert!((1..1 << 53).contains(&other.flow_id()));
        }
    }
}
