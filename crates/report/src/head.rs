//! What all records have in common.

use std::net::IpAddr;

use portcullis_lang::Direction;
use portcullis_stream::Protocol;
use serde::ser::SerializeMap;

use crate::address::FullAddress;
use crate::identity::FlowIdentity;
use crate::time::{IsoTime, Moment};

/// The fields that all records begin with; those that do not apply are left out of the line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'a> {
    /// `timestamp` and `pcap_cnt`.
    pub moment: Moment,
    /// `pcap_filename`: the capture that is read, if records are to tell.
    pub file: Option<&'a str>,
    /// `flow_id` and `community_id`.
    pub flow: Option<&'a FlowIdentity>,
    /// `src_ip`, `src_port`, `dest_ip`, `dest_port`, `proto` and `ip_v`.
    pub ends: Option<Ends>,
    /// `vlan`: the VLANs of the packet, the outer one first; left out if there are none.
    pub vlans: &'a [u16],
    /// `direction`: `to_server` or `to_client`.
    pub direction: Option<Direction>,
    /// `app_proto`: the protocol that the flow speaks.
    pub app_proto: Option<&'a str>,
    /// `tx_id`: which of the flow's transactions, from 0.
    pub transaction: Option<u64>,
}

/// Sender and receiver of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Address of the sender, with its port if the protocol has ports.
    pub source: (IpAddr, Option<u16>),
    /// Address of the receiver, with its port if the protocol has ports.
    pub destination: (IpAddr, Option<u16>),
    /// `TCP`, `UDP`, `ICMP`, `IPv6-ICMP`; none if it is not known.
    pub protocol: Option<&'static str>,
}

impl<'a> Head<'a> {
    /// The head of a record about a packet of a flow.
    pub fn of_packet(flow: &'a FlowIdentity, direction: Direction, moment: Moment) -> Head<'a> {
        let (source, destination) = flow.ends(direction);
        let ends = Ends {
            source: (source.ip(), Some(source.port())),
            destination: (destination.ip(), Some(destination.port())),
            protocol: Some(protocol_name(flow.key.protocol)),
        };
        Head { moment, flow: Some(flow), ends: Some(ends), ..Head::default() }
    }

    /// The head of a record about a flow as a whole: from the client to the server.
    pub fn of_flow(flow: &'a FlowIdentity, moment: Moment) -> Head<'a> {
        Head::of_packet(flow, Direction::Up, moment)
    }

    /// The head of a record about no flow: a packet that could not be read, the statistics.
    pub fn of_capture(moment: Moment) -> Head<'a> {
        Head { moment, ..Head::default() }
    }

    pub(crate) fn entries<M: SerializeMap>(&self, map: &mut M, event_type: &str) -> Result<(), M::Error> {
        map.serialize_entry("timestamp", &IsoTime(self.moment.time))?;
        if let Some(flow) = self.flow {
            map.serialize_entry("flow_id", &flow.flow_id())?;
        }
        if self.moment.packet != 0 {
            map.serialize_entry("pcap_cnt", &self.moment.packet)?;
        }
        map.serialize_entry("event_type", event_type)?;
        if !self.vlans.is_empty() {
            map.serialize_entry("vlan", self.vlans)?;
        }
        if let Some(ends) = &self.ends {
            ends.entries(map)?;
        }
        if let Some(flow) = self.flow {
            map.serialize_entry("community_id", flow.community_id())?;
        }
        if let Some(file) = self.file {
            map.serialize_entry("pcap_filename", file)?;
        }
        if let Some(protocol) = self.app_proto {
            map.serialize_entry("app_proto", protocol)?;
        }
        if let Some(direction) = self.direction {
            map.serialize_entry("direction", direction_name(direction))?;
        }
        if let Some(transaction) = self.transaction {
            map.serialize_entry("tx_id", &transaction)?;
        }
        Ok(())
    }
}

impl Ends {
    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("src_ip", &FullAddress(self.source.0))?;
        if let Some(port) = self.source.1 {
            map.serialize_entry("src_port", &port)?;
        }
        map.serialize_entry("dest_ip", &FullAddress(self.destination.0))?;
        if let Some(port) = self.destination.1 {
            map.serialize_entry("dest_port", &port)?;
        }
        if let Some(protocol) = self.protocol {
            map.serialize_entry("proto", protocol)?;
        }
        map.serialize_entry("ip_v", if self.source.0.is_ipv4() { &4u8 } else { &6u8 })
    }
}

/// `to_server` or `to_client`.
pub(crate) fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "to_server",
        Direction::Down => "to_client",
    }
}

/// The name of a protocol in `proto`.
pub(crate) fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    }
}
