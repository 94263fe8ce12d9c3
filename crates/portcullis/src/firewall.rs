//! The firewall rules that send packets to the gate, for each program that can set them.
//!
//! What they do, in this order, to packets of the ports that are guarded:
//!
//! 1. Packets that the gate sent itself (mark [`marks::OWN`]) and connections that it need not see any more (connection
//!    mark [`marks::BYPASS`]) go on.
//! 2. What connection tracking calls invalid is dropped, wrong checksums among it. That there is such a rule makes the
//!    kernel put fragments together before they are queued.
//! 3. The rest goes to the queue, or to one of several, where both directions of a connection always meet in the same.
//! 4. Behind the gate, a packet with the mark [`marks::BYPASS`] gives that mark to its connection.
//!
//! All of it stands in the `mangle` table, or at its priority: the filter rules of the machine come after it, and decide
//! about what the gate accepts. A queue in the filter table would leave out what stands below it.

mod iptables;
mod machine;
mod nft;

use std::fmt;
use std::ops::RangeInclusive;

pub(crate) use machine::Machine;

use crate::gateway::marks;

/// What all our chains of iptables are called, or begin with.
pub(crate) const CHAIN: &str = "PORTCULLIS";

/// What our table of nft is called.
pub(crate) const TABLE: &str = "portcullis";

/// Most ports of each transport: one `multiport` match takes no more.
const MOST_PORTS: usize = 15;

/// Where the gate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetUp {
    /// It forwards packets between networks.
    Router,
    /// It forwards frames between links of one network.
    Bridge,
    /// It is the server.
    Host,
}

impl SetUp {
    pub(crate) fn name(self) -> &'static str {
        match self {
            SetUp::Router => "router",
            SetUp::Bridge => "bridge",
            SetUp::Host => "host",
        }
    }
}

/// A port that is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    pub(crate) transport: Transport,
    pub(crate) number: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    const ALL: [Transport; 2] = [Transport::Tcp, Transport::Udp];

    fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.number, self.transport.name())
    }
}

impl std::str::FromStr for Port {
    type Err = String;

    /// `25`, `25/tcp`, `53/udp`.
    fn from_str(word: &str) -> Result<Port, String> {
        let (number, transport) = word.split_once('/').unwrap_or((word, "tcp"));
        let transport = Transport::ALL
            .into_iter()
            .find(|known| known.name() == transport)
            .ok_or_else(|| format!("{transport:?} is no transport; write 25, 25/tcp or 53/udp"))?;
        match number.parse() {
            Ok(0) | Err(_) => Err(format!("{number:?} is no port (1 to 65535)")),
            Ok(number) => Ok(Port { transport, number }),
        }
    }
}

/// The versions of IP that are guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Families {
    Both,
    Ipv4,
    Ipv6,
}

/// Which rules are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) set_up: SetUp,
    ports: Vec<Port>,
    pub(crate) queues: RangeInclusive<u16>,
    /// Whether packets pass while nobody has bound the queue.
    pub(crate) queue_bypass: bool,
    /// Whether packets that connection tracking calls invalid are dropped.
    pub(crate) drop_invalid: bool,
    pub(crate) families: Families,
}

impl Rules {
    /// Rules for these ports, which are sorted; fails if there are none or too many.
    pub(crate) fn new(set_up: SetUp, mut ports: Vec<Port>, queues: RangeInclusive<u16>) -> Result<Rules, String> {
        ports.sort();
        ports.dedup();
        if ports.is_empty() {
            return Err("no port is named: there is nothing to guard".to_owned());
        }
        for transport in Transport::ALL {
            let count = ports.iter().filter(|port| port.transport == transport).count();
            if count > MOST_PORTS {
                return Err(format!("{count} ports of {} are too many, at most {MOST_PORTS}", transport.name()));
            }
        }
        Ok(Rules { set_up, ports, queues, queue_bypass: true, drop_invalid: true, families: Families::Both })
    }

    /// The ports of each transport that has any, separated by commas.
    fn ports(&self) -> impl Iterator<Item = (Transport, String)> {
        Transport::ALL.into_iter().filter_map(|transport| {
            let ports: Vec<String> = self
                .ports
                .iter()
                .filter(|port| port.transport == transport)
                .map(|port| port.number.to_string())
                .collect();
            (!ports.is_empty()).then(|| (transport, ports.join(",")))
        })
    }
}

/// What they are, in a line.
impl fmt::Display for Rules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports: Vec<String> = self.ports.iter().map(ToString::to_string).collect();
        let (first, last) = (self.queues.start(), self.queues.end());
        write!(formatter, "{}, {}, ", self.set_up.name(), ports.join(" "))?;
        match first == last {
            true => write!(formatter, "queue {first}")?,
            false => write!(formatter, "queues {first} to {last}")?,
        }
        formatter.write_str(match self.queue_bypass {
            true => "; packets pass while no gate runs",
            false => "; packets are dropped while no gate runs",
        })
    }
}

/// A program that sets rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Nft,
    IptablesNft,
    IptablesLegacy,
}

impl Backend {
    /// In the order in which they are tried.
    pub(crate) const ALL: [Backend; 3] = [Backend::Nft, Backend::IptablesNft, Backend::IptablesLegacy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Backend::Nft => "nft",
            Backend::IptablesNft => "iptables-nft",
            Backend::IptablesLegacy => "iptables-legacy",
        }
    }

    /// The package of Debian that has it.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Backend::Nft => "nftables",
            Backend::IptablesNft | Backend::IptablesLegacy => "iptables",
        }
    }
}

/// A program to run, and what it reads. Each takes effect as a whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) program: String,
    pub(crate) arguments: Vec<&'static str>,
    pub(crate) input: String,
}

/// As a line of a shell script.
impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{} {} <<'END'", self.program, self.arguments.join(" "))?;
        formatter.write_str(&self.input)?;
        writeln!(formatter, "END")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_understood_or_explained() {
        assert_eq!("25".parse(), Ok(Port { transport: Transport::Tcp, number: 25 }));
        assert_eq!("53/udp".parse(), Ok(Port { transport: Transport::Udp, number: 53 }));
        assert!("0".parse::<Port>().unwrap_err().contains("1 to 65535"));
        assert!("70000".parse::<Port>().unwrap_err().contains("1 to 65535"));
        assert!("25/sctp".parse::<Port>().unwrap_err().contains("53/udp"));
        assert!("smtp".parse::<Port>().unwrap_err().contains("is no port"));
    }

    #[test]
    fn ports_are_sorted_and_counted() {
        let port = |number| Port { transport: Transport::Tcp, number };
        let rules = Rules::new(SetUp::Router, vec![port(587), port(25), port(25)], 0..=3).unwrap();
        assert_eq!(rules.to_string(), "router, 25/tcp 587/tcp, queues 0 to 3; packets pass while no gate runs");
        assert_eq!(rules.ports().collect::<Vec<_>>(), vec![(Transport::Tcp, "25,587".to_owned())]);
        assert!(Rules::new(SetUp::Host, (1..=16).map(port).collect(), 0..=0).unwrap_err().contains("at most 15"));
        assert!(Rules::new(SetUp::Host, Vec::new(), 0..=0).unwrap_err().contains("nothing to guard"));
    }
}
