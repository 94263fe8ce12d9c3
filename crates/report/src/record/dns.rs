//! `dns`: a message of DNS, in the form that EVE has had since its version 3 of these records.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::address::FullAddress;
use crate::dns::{DnsMessage, Resource, ResourceData};
use crate::encode::Body;
use crate::limits::MAX_RESOURCE_DATA;
use crate::text::{Hex, Text};

/// A message of DNS.
#[derive(Clone, Copy, Debug)]
pub struct DnsRecord<'a> {
    /// The message.
    pub message: &'a DnsMessage<'a>,
    /// Which of the flow's messages, from 0.
    pub transaction: u64,
}

impl Body for DnsRecord<'_> {
    fn event_type(&self) -> &'static str {
        "dns"
    }

    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("dns", &Fields(self))
    }
}

/// The bits of the header (RFC 1035 section 4.1.1): name and mask. Those that are set are written.
const BITS: [(&str, u16); 6] =
    [("qr", 0x8000), ("aa", 0x0400), ("tc", 0x0200), ("rd", 0x0100), ("ra", 0x0080), ("z", 0x0040)];

struct Fields<'a>(&'a DnsRecord<'a>);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let DnsRecord { message, transaction } = *self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", &3u8)?;
        map.serialize_entry("type", if message.flags & 0x8000 == 0 { "request" } else { "response" })?;
        map.serialize_entry("tx_id", &transaction)?;
        map.serialize_entry("id", &message.id)?;
        map.serialize_entry("flags", &format_args!("{:x}", message.flags))?;
        for (name, mask) in BITS {
            if message.flags & mask != 0 {
                map.serialize_entry(name, &true)?;
            }
        }
        map.serialize_entry("opcode", &(message.flags >> 11 & 0xf))?;
        map.serialize_entry("rcode", &*message.rcode)?;
        if !message.questions.is_empty() {
            map.serialize_entry("queries", &Questions(message))?;
        }
        if !message.answers.is_empty() {
            map.serialize_entry("answers", &Section(&message.answers))?;
            map.serialize_entry("grouped", &Grouped(&message.answers))?;
        }
        for (name, section) in [("authorities", &message.authorities), ("additionals", &message.additionals)] {
            if section.iter().any(is_shown) {
                map.serialize_entry(name, &Section(section))?;
            }
        }
        if message.cut {
            map.serialize_entry("portcullis", &Own { cut: true })?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Own {
    cut: bool,
}

struct Questions<'a>(&'a DnsMessage<'a>);

impl Serialize for Questions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Question<'a> {
            rrname: Text<'a>,
            rrtype: &'a str,
        }
        let questions = &self.0.questions;
        serializer.collect_seq(
            questions.iter().map(|question| Question { rrname: Text::new(&question.name), rrtype: &question.kind }),
        )
    }
}

struct Section<'a>(&'a [Resource<'a>]);

impl Serialize for Section<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().filter(|resource| is_shown(resource)).map(Entry))
    }
}

/// An OPT without options says no more than that its sender knows EDNS; other writers of EVE leave it out too.
fn is_shown(resource: &Resource<'_>) -> bool {
    !matches!(&resource.data, ResourceData::Options(options) if options.is_empty())
}

struct Entry<'a>(&'a Resource<'a>);

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let resource = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("rrname", &Text::new(&resource.name))?;
        map.serialize_entry("rrtype", &*resource.kind)?;
        map.serialize_entry("ttl", &resource.ttl)?;
        if let Some(key) = key(&resource.data) {
            map.serialize_entry(key, &Data(&resource.data))?;
        }
        map.end()
    }
}

/// Where the data of a resource record stands.
fn key(data: &ResourceData<'_>) -> Option<&'static str> {
    Some(match data {
        ResourceData::Opaque => return None,
        ResourceData::Address(_) | ResourceData::Text(_) => "rdata",
        ResourceData::Options(_) => "opt",
        ResourceData::Authority { .. } => "soa",
        ResourceData::Service { .. } => "srv",
        ResourceData::Fingerprint { .. } => "sshfp",
    })
}

/// The data of all answers of a type together, so that a search needs no list of objects.
struct Grouped<'a>(&'a [Resource<'a>]);

impl Serialize for Grouped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut kinds: Vec<&str> = Vec::new();
        for answer in self.0.iter().filter(|answer| groups(answer)) {
            if !kinds.contains(&&*answer.kind) {
                kinds.push(&answer.kind);
            }
        }
        let mut map = serializer.serialize_map(None)?;
        for kind in kinds {
            map.serialize_entry(kind, &Group { answers: self.0, kind })?;
        }
        map.end()
    }
}

fn groups(answer: &Resource<'_>) -> bool {
    !matches!(answer.data, ResourceData::Opaque | ResourceData::Options(_))
}

struct Group<'a> {
    answers: &'a [Resource<'a>],
    kind: &'a str,
}

impl Serialize for Group<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let of_kind = self.answers.iter().filter(|answer| answer.kind == self.kind && groups(answer));
        serializer.collect_seq(of_kind.map(|answer| Data(&answer.data)))
    }
}

struct Data<'a>(&'a ResourceData<'a>);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ResourceData::Opaque => serializer.serialize_unit(),
            ResourceData::Address(address) => FullAddress(*address).serialize(serializer),
            ResourceData::Text(text) => Text::bounded(text, MAX_RESOURCE_DATA).serialize(serializer),
            ResourceData::Options(options) => {
                #[derive(Serialize)]
                struct Opt<'a> {
                    code: u16,
                    data: Hex<'a>,
                }
                serializer.collect_seq(options.iter().map(|(code, data)| Opt {
                    code: *code,
                    data: Hex { octets: data.get(..MAX_RESOURCE_DATA).unwrap_or(data), separator: "" },
                }))
            }
            ResourceData::Authority { mname, rname, numbers } => {
                let mut map = serializer.serialize_map(Some(7))?;
                map.serialize_entry("mname", &Text::new(mname))?;
                map.serialize_entry("rname", &Text::new(rname))?;
                for (name, number) in ["serial", "refresh", "retry", "expire", "minimum"].iter().zip(numbers) {
                    map.serialize_entry(name, number)?;
                }
                map.end()
            }
            ResourceData::Service { numbers, name } => {
                let mut map = serializer.serialize_map(Some(4))?;
                for (name, number) in ["priority", "weight", "port"].iter().zip(numbers) {
                    map.serialize_entry(name, number)?;
                }
                map.serialize_entry("name", &Text::new(name))?;
                map.end()
            }
            ResourceData::Fingerprint { algorithm, kind, fingerprint } => {
                let octets = fingerprint.get(..MAX_RESOURCE_DATA).unwrap_or(fingerprint);
                let mut map = serializer.serialize_map(Some(3))?;
                map.serialize_entry("fingerprint", &Hex { octets, separator: ":" })?;
                map.serialize_entry("algo", algorithm)?;
                map.serialize_entry("type", kind)?;
                map.end()
            }
        }
    }
}
