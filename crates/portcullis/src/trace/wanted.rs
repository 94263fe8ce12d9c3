//! Which flows, or which event, somebody asks about.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use portcullis_report::EventIdentity;
use portcullis_stream::FlowKey;

/// What somebody has named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// An event, as alerts name it.
    Event(EventIdentity),
    /// A flow, by its number in records.
    Flow(u64),
    /// Flows that have this end.
    End(SocketAddr),
    /// Flows of this host.
    Host(IpAddr),
    /// Flows whose addresses and ports, as they are written, have this in them.
    Text(String),
}

impl Wanted {
    /// Reads what somebody has named; any text is something.
    pub(crate) fn parse(name: &str) -> Wanted {
        if let Some(event) = EventIdentity::parse(name) {
            Wanted::Event(event)
        } else if let Ok(flow_id) = name.parse() {
            Wanted::Flow(flow_id)
        } else if let Ok(end) = name.parse() {
            Wanted::End(end)
        } else if let Ok(host) = name.parse() {
            Wanted::Host(host)
        } else {
            Wanted::Text(name.to_owned())
        }
    }

    /// Whether it can be nothing but the name of a flow or event: a file would hardly be called so.
    pub(crate) fn is_exact(&self) -> bool {
        !matches!(self, Wanted::Text(_))
    }

    /// The number of the flow, if that is named.
    pub(crate) fn flow_id(&self) -> Option<u64> {
        match self {
            Wanted::Event(event) => Some(event.flow_id),
            Wanted::Flow(flow_id) => Some(*flow_id),
            _ => None,
        }
    }

    /// The event, if one is named.
    pub(crate) fn event(&self) -> Option<EventIdentity> {
        match self {
            Wanted::Event(event) => Some(*event),
            _ => None,
        }
    }

    /// Whether a flow is meant; `flow_id` is asked for its number only if that matters.
    pub(crate) fn is(&self, key: &FlowKey, flow_id: impl FnOnce() -> u64) -> bool {
        match self {
            Wanted::Event(event) => event.flow_id == flow_id(),
            Wanted::Flow(wanted) => *wanted == flow_id(),
            Wanted::End(end) => key.client == *end || key.server == *end,
            Wanted::Host(host) => key.client.ip() == *host || key.server.ip() == *host,
            Wanted::Text(text) => key.to_string().contains(text.as_str()),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Event(event) => event.fmt(f),
            Wanted::Flow(flow_id) => flow_id.fmt(f),
            Wanted::End(end) => end.fmt(f),
            Wanted::Host(host) => host.fmt(f),
            Wanted::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_stream::Protocol;

    use super::*;

    #[test]
    fn names_are_read_as_what_they_look_like() {
        let key = FlowKey {
            protocol: Protocol::Tcp,
            client: "192.0.2.1:40000".parse().unwrap(),
            server: "[2001:db8::25]:25".parse().unwrap(),
            vlan: 0,
        };
        for (name, exact, meant) in [
            ("4711", true, true),
            ("4712", true, false),
            ("4711-c57", true, true),
            ("4712-c57", true, false),
            ("192.0.2.1", true, true),
            ("192.0.2.10", true, false),
            ("192.0.2.1:40000", true, true),
            ("192.0.2.1:4000", true, false),
            ("2001:db8::25", true, true),
            ("[2001:db8::25]:25", true, true),
            ("192.0.2.", false, true),
            ("mail.pcap", false, false),
        ] {
            let wanted = Wanted::parse(name);
            assert_eq!((wanted.is_exact(), wanted.is(&key, || 4711)), (exact, meant), "{name}");
            assert_eq!(wanted.to_string(), name);
        }
    }
}
