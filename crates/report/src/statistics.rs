//! Counters, and the `stats` record.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

use serde::Serialize;
use serde::ser::SerializeMap;

use crate::encode::Body;
use crate::limits::MAX_STATISTICS_PROTOCOLS;

/// Everything that is counted. All counters only grow, but for `flow.active`, so that a reader can take differences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// Packets as they were read.
    pub decoder: DecoderCounters,
    /// Datagrams in parts.
    pub defrag: DefragCounters,
    /// Flows.
    pub flow: FlowCounters,
    /// TCP.
    pub tcp: TcpCounters,
    /// Protocols above.
    pub app_layer: ProtocolCounters,
    /// What rules found.
    pub detect: DetectionCounters,
    /// What a gateway did, or would have done, with packets.
    pub ips: VerdictCounters,
    /// How often bounds were met, by their names; those that never were are left out.
    pub limits: BTreeMap<&'static str, u64>,
}

macro_rules! counters {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: u64,)*
        }

        impl AddAssign for $name {
            /// Adds each counter, saturating.
            fn add_assign(&mut self, other: $name) {
                $(self.$field = self.$field.saturating_add(other.$field);)*
            }
        }
    };
}

counters! {
    /// Packets as they were read.
    DecoderCounters {
        /// Packets.
        pkts,
        /// Their octets, with the link layer.
        bytes,
        /// Packets that could not be read to their transport.
        invalid,
        /// Packets of the Internet Protocol, version 4.
        ipv4,
        /// Packets of the Internet Protocol, version 6.
        ipv6,
        /// Segments of TCP.
        tcp,
        /// Datagrams of UDP.
        udp,
        /// Messages of ICMP.
        icmpv4,
        /// Messages of ICMPv6.
        icmpv6,
        /// Packets in a VLAN.
        vlan,
        /// Packets whose checksum is wrong.
        checksum_wrong,
        /// Packets that were captured before their checksum was computed, and taken without it.
        checksum_unverified,
        /// Packets of which the capture kept only a part.
        cut,
    }
}

counters! {
    /// Datagrams in parts.
    DefragCounters {
        /// Fragments.
        fragments,
        /// Datagrams that were put together.
        reassembled,
        /// Datagrams that were given up.
        abandoned,
    }
}

counters! {
    /// Flows.
    FlowCounters {
        /// Flows that began.
        total,
        /// Flows that have not ended.
        active,
        /// Flows of TCP.
        tcp,
        /// Flows of UDP.
        udp,
        /// Flows that were forgotten early because a bound was met.
        evicted,
    }
}

counters! {
    /// TCP.
    TcpCounters {
        /// Connections whose beginning was seen.
        sessions,
        /// Connections that were there before the capture.
        midstream_pickups,
        /// Connections that were reset.
        rst,
        /// Places where octets are missing.
        reassembly_gap,
        /// Octets that are missing.
        reassembly_gap_bytes,
        /// Segments that brought nothing new.
        repeated,
        /// Segments that came before those in front of them.
        out_of_order,
        /// Packets of no flow.
        strays,
    }
}

counters! {
    /// What rules found.
    DetectionCounters {
        /// Alerts.
        alert,
        /// Anomalies.
        anomaly,
    }
}

counters! {
    /// What a gateway did, or would have done, with flows.
    VerdictCounters {
        /// Flows that were let through.
        accepted,
        /// Flows that were stopped.
        blocked,
    }
}

/// Flows and transactions by protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProtocolCounters {
    /// Flows.
    pub flow: BTreeMap<String, u64>,
    /// Transactions: mails, messages of DNS.
    pub tx: BTreeMap<String, u64>,
    /// Records that did not parse, and conversations that nobody understood.
    pub error: BTreeMap<String, u64>,
}

impl ProtocolCounters {
    /// Counts a flow of a protocol. Beyond [`MAX_STATISTICS_PROTOCOLS`] protocols it is counted under `other`.
    pub fn count_flow(&mut self, protocol: &str) {
        count(&mut self.flow, protocol, 1);
    }

    /// Counts a transaction, with the same bound.
    pub fn count_transaction(&mut self, protocol: &str) {
        count(&mut self.tx, protocol, 1);
    }

    /// Counts an error, with the same bound.
    pub fn count_error(&mut self, protocol: &str) {
        count(&mut self.error, protocol, 1);
    }
}

impl AddAssign<&ProtocolCounters> for ProtocolCounters {
    fn add_assign(&mut self, other: &ProtocolCounters) {
        for (mine, others) in
            [(&mut self.flow, &other.flow), (&mut self.tx, &other.tx), (&mut self.error, &other.error)]
        {
            others.iter().for_each(|(protocol, number)| count(mine, protocol, *number));
        }
    }
}

impl AddAssign<&Statistics> for Statistics {
    /// Adds what another worker has counted.
    fn add_assign(&mut self, other: &Statistics) {
        self.decoder += other.decoder;
        self.defrag += other.defrag;
        self.flow += other.flow;
        self.tcp += other.tcp;
        self.app_layer += &other.app_layer;
        self.detect += other.detect;
        self.ips += other.ips;
        for (bound, number) in &other.limits {
            let counter = self.limits.entry(bound).or_default();
            *counter = counter.saturating_add(*number);
        }
    }
}

fn count(counters: &mut BTreeMap<String, u64>, protocol: &str, number: u64) {
    if let Some(counter) = counters.get_mut(protocol) {
        *counter = counter.saturating_add(number);
        return;
    }
    let name = if counters.len() < MAX_STATISTICS_PROTOCOLS { protocol } else { "other" };
    let counter = counters.entry(name.to_owned()).or_default();
    *counter = counter.saturating_add(number);
}

/// The `stats` record.
#[derive(Clone, Copy, Debug)]
pub struct StatisticsRecord<'a> {
    /// How long it has been at work: offline, the time that the capture spans.
    pub uptime: Duration,
    /// The counters.
    pub statistics: &'a Statistics,
}

impl Body for StatisticsRecord<'_> {
    fn event_type(&self) -> &'static str {
        "stats"
    }

    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            uptime: u64,
            #[serde(flatten)]
            statistics: &'a Statistics,
        }
        map.serialize_entry("stats", &Fields { uptime: self.uptime.as_secs(), statistics: self.statistics })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_two_workers_add_up() {
        let mut one = Statistics::default();
        one.decoder.pkts = 3;
        one.app_layer.count_flow("smtp");
        let mut two = one.clone();
        two.decoder.pkts = u64::MAX;
        two.app_layer.count_flow("dns");
        two.app_layer.count_flow("smtp");
        two.limits.insert("flows", 2);
        one += &two;
        assert_eq!(one.decoder.pkts, u64::MAX);
        assert_eq!(one.limits, BTreeMap::from([("flows", 2)]));
        assert_eq!(one.app_layer.flow, BTreeMap::from([("dns".to_owned(), 1), ("smtp".to_owned(), 3)]));
    }

    #[test]
    fn protocols_beyond_the_bound_are_counted_together() {
        let mut counters = ProtocolCounters::default();
        for number in 0..MAX_STATISTICS_PROTOCOLS + 10 {
            counters.count_transaction(&format!("p{number}"));
        }
        assert_eq!(counters.tx.len(), MAX_STATISTICS_PROTOCOLS + 1);
        assert_eq!(counters.tx.get("other"), Some(&10));
    }
}
