//! Messages of DNS, as far as records tell of them.
//!
//! [`DnsFields`] knows where a grammar of DNS keeps what matters; [`DnsMessage`] is one message as plain values, which
//! [`DnsRecord`](crate::DnsRecord) writes.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use portcullis_grammar::{Event, Record};
use portcullis_lang::scheme::Enumeration;
use portcullis_lang::{EventId, Layout, ProtocolScheme, Type, Value};

use crate::fields::{Fields, bytes};
use crate::limits::{MAX_EDNS_OPTIONS, MAX_RESOURCE_RECORDS};

/// A message of DNS (RFC 1035 section 4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsMessage<'a> {
    /// The number that an answer has in common with its question.
    pub id: u16,
    /// The sixteen bits after it.
    pub flags: u16,
    /// The name of the response code, or its number where it has none.
    pub rcode: Cow<'a, str>,
    /// The questions.
    pub questions: Vec<Question<'a>>,
    /// The answers.
    pub answers: Vec<Resource<'a>>,
    /// The authority section.
    pub authorities: Vec<Resource<'a>>,
    /// The additional section.
    pub additionals: Vec<Resource<'a>>,
    /// Whether a section had more than [`MAX_RESOURCE_RECORDS`] entries; those beyond are left out.
    pub cut: bool,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// What is asked for.
    pub name: Cow<'a, [u8]>,
    /// The name of the type, or its number where it has none.
    pub kind: Cow<'a, str>,
}

/// A resource record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    /// What it is about.
    pub name: Cow<'a, [u8]>,
    /// The name of the type, or its number where it has none.
    pub kind: Cow<'a, str>,
    /// For how many seconds it may be kept; of OPT it is something else (RFC 6891 section 6.1.3).
    pub ttl: u32,
    /// What it says.
    pub data: ResourceData<'a>,
}

/// What a resource record says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ResourceData<'a> {
    /// Of a type that records do not show.
    #[default]
    Opaque,
    /// A and AAAA.
    Address(IpAddr),
    /// NS, CNAME, PTR, DNAME, MX: a name; TXT, SPF and NULL: octets.
    Text(Cow<'a, [u8]>),
    /// OPT: codes and data.
    Options(Vec<(u16, Cow<'a, [u8]>)>),
    /// SOA (RFC 1035 section 3.3.13).
    Authority {
        /// The primary server.
        mname: Cow<'a, [u8]>,
        /// The mailbox of whoever is responsible.
        rname: Cow<'a, [u8]>,
        /// Serial, refresh, retry, expire, minimum.
        numbers: [u32; 5],
    },
    /// SRV (RFC 2782).
    Service {
        /// Priority, weight, port.
        numbers: [u16; 3],
        /// The host.
        name: Cow<'a, [u8]>,
    },
    /// SSHFP (RFC 4255).
    Fingerprint {
        /// The algorithm of the key.
        algorithm: u8,
        /// The type of the fingerprint.
        kind: u8,
        /// The fingerprint.
        fingerprint: Cow<'a, [u8]>,
    },
}

/// Knows where a grammar of DNS keeps what records tell.
#[derive(Clone, Debug)]
pub struct DnsFields {
    query: EventId,
    answer: EventId,
    id: Fields,
    /// The bits of the header, from the highest: field and width.
    flags: Vec<(Fields, u32)>,
    rcode: Named,
    questions: Fields,
    question_name: Fields,
    question_type: Named,
    sections: [(Fields, ResourceFields); 3],
}

#[derive(Clone, Debug, Default)]
struct ResourceFields {
    name: Fields,
    kind: Named,
    ttl: Fields,
    addresses: [Fields; 2],
    target: Fields,
    exchange: Fields,
    service: [Fields; 3],
    host: Fields,
    mname: Fields,
    rname: Fields,
    authority: [Fields; 5],
    texts: Fields,
    text: Fields,
    raw: Fields,
}

/// A number with names.
#[derive(Clone, Debug, Default)]
struct Named {
    fields: Fields,
    names: Option<Arc<Enumeration>>,
}

/// The type numbers of data that the grammar leaves to us.
const NULL: i64 = 10;
const OPT: i64 = 41;
const SSHFP: i64 = 44;

impl DnsFields {
    /// Looks up the names; none if the scheme has no events `query` and `answer`.
    pub fn new(scheme: &ProtocolScheme) -> Option<DnsFields> {
        let (query, message) = scheme.event("query")?;
        let (answer, _) = scheme.event("answer")?;
        let layout = &message.layout;
        let bits: [(&str, u32); 10] = [
            ("qr", 1),
            ("opcode", 4),
            ("aa", 1),
            ("tc", 1),
            ("rd", 1),
            ("ra", 1),
            ("z", 1),
            ("ad", 1),
            ("cd", 1),
            ("rcode", 4),
        ];
        let section = |path: &str| {
            let fields = elements(layout, path).map(ResourceFields::of).unwrap_or_default();
            (Fields::of(layout, path), fields)
        };
        let question = elements(layout, "questions")?;
        Some(DnsFields {
            query,
            answer,
            id: Fields::of(layout, "id"),
            flags: bits.into_iter().map(|(path, width)| (Fields::of(layout, path), width)).collect(),
            rcode: Named::of(layout, "rcode"),
            questions: Fields::of(layout, "questions"),
            question_name: Fields::of(question, "name"),
            question_type: Named::of(question, "type"),
            sections: [section("answers"), section("authority"), section("additional")],
        })
    }

    /// Whether an event is a message.
    pub fn wants(&self, id: EventId) -> bool {
        id == self.query || id == self.answer
    }

    /// The message of an event; none if it is another event.
    pub fn message<'a>(&'a self, event: &Event<'a>) -> Option<DnsMessage<'a>> {
        let record = event.record.filter(|_| self.wants(event.id))?;
        let bit = |flags: u16, (fields, width): &(Fields, u32)| {
            let value = match fields.value(&record) {
                Value::Number(number) => u16::try_from(number).unwrap_or(0),
                Value::Boolean(value) => u16::from(value),
                _ => 0,
            };
            flags.checked_shl(*width).unwrap_or(0) | value
        };
        let [answers, authorities, additionals] =
            self.sections.each_ref().map(|(list, fields)| each(&record, list, |base| fields.resource(&record, base)));
        let questions = each(&record, &self.questions, |base| Question {
            name: bytes(self.question_name.value_at(&record, base)),
            kind: self.question_type.name(&record, base),
        });
        let lists = [&self.questions].into_iter().chain(self.sections.iter().map(|(list, _)| list));
        Some(DnsMessage {
            id: number(self.id.value(&record)),
            flags: self.flags.iter().fold(0, bit),
            rcode: self.rcode.name(&record, 0),
            questions,
            answers,
            authorities,
            additionals,
            cut: lists.into_iter().any(|list| count(&record, list) as usize > MAX_RESOURCE_RECORDS),
        })
    }
}

impl ResourceFields {
    fn of(layout: &Layout) -> ResourceFields {
        let fields = |path: &str| Fields::of(layout, path).or(Fields::of(layout, &format!("data.{path}")));
        let texts = elements(layout, "texts").or(elements(layout, "data.texts"));
        ResourceFields {
            name: Fields::of(layout, "name"),
            kind: Named::of(layout, "type"),
            ttl: Fields::of(layout, "ttl"),
            addresses: ["address", "address6"].map(fields),
            target: fields("target"),
            exchange: fields("exchange"),
            service: ["priority", "weight", "port"].map(fields),
            host: fields("host"),
            mname: fields("mname"),
            rname: fields("rname"),
            authority: ["serial", "refresh", "retry", "expire", "minimum"].map(fields),
            texts: fields("texts"),
            text: texts.map(|layout| Fields::of(layout, "text")).unwrap_or_default(),
            raw: fields("raw_data"),
        }
    }

    fn resource<'a>(&'a self, record: &Record<'a>, base: u32) -> Resource<'a> {
        Resource {
            name: bytes(self.name.value_at(record, base)),
            kind: self.kind.name(record, base),
            ttl: number(self.ttl.value_at(record, base)),
            data: self.data(record, base),
        }
    }

    fn data<'a>(&self, record: &Record<'a>, base: u32) -> ResourceData<'a> {
        let value = |fields: &Fields| fields.value_at(record, base);
        let address = self.addresses.iter().find_map(|fields| match value(fields) {
            Value::Address(address) => Some(address),
            _ => None,
        });
        if let Some(address) = address {
            return ResourceData::Address(address);
        }
        for fields in [&self.target, &self.exchange] {
            if let Value::Bytes(name) = value(fields) {
                return ResourceData::Text(name);
            }
        }
        if let Value::Bytes(name) = value(&self.host) {
            let numbers = self.service.each_ref().map(|fields| number(value(fields)));
            return ResourceData::Service { numbers, name };
        }
        if let Value::Bytes(mname) = value(&self.mname) {
            let numbers = self.authority.each_ref().map(|fields| number(value(fields)));
            return ResourceData::Authority { mname, rname: bytes(value(&self.rname)), numbers };
        }
        if let Some(list) = self.texts.slot_at(record, base) {
            return ResourceData::Text(joined(record, base, list, &self.text));
        }
        match value(&self.raw) {
            Value::Bytes(raw) => opaque(value(&self.kind.fields).as_number().unwrap_or(0), raw),
            _ => ResourceData::Opaque,
        }
    }
}

impl Named {
    fn of(layout: &Layout, path: &str) -> Named {
        let names = match layout.field(path).map(|field| &field.kind) {
            Some(Type::Enumeration(names)) => Some(names.clone()),
            _ => None,
        };
        Named { fields: Fields::of(layout, path), names }
    }

    fn name<'a>(&'a self, record: &Record<'_>, base: u32) -> Cow<'a, str> {
        let number = self.fields.value_at(record, base).as_number().unwrap_or(0);
        match self.names.as_ref().and_then(|names| names.name_of(number)) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(number.to_string()),
        }
    }
}

/// The strings of a TXT as one, as those who publish long texts mean them (RFC 7208 section 3.3).
fn joined<'a>(record: &Record<'a>, base: u32, list: u16, text: &Fields) -> Cow<'a, [u8]> {
    let count = record.count_at(base, list);
    let part = |index| {
        let base = record.element_base_at(base, list, index);
        base.map(|base| bytes(text.value_at(record, base))).unwrap_or_default()
    };
    if count == 1 {
        return part(0);
    }
    Cow::Owned((0..count).flat_map(|index| part(index).into_owned()).collect())
}

/// Data that the grammar does not take apart.
fn opaque(kind: i64, raw: Cow<'_, [u8]>) -> ResourceData<'_> {
    match kind {
        NULL => ResourceData::Text(raw),
        OPT => ResourceData::Options(options(&raw)),
        SSHFP => match raw.split_at_checked(2) {
            Some(([algorithm, kind], fingerprint)) => ResourceData::Fingerprint {
                algorithm: *algorithm,
                kind: *kind,
                fingerprint: Cow::Owned(fingerprint.to_vec()),
            },
            _ => ResourceData::Opaque,
        },
        _ => ResourceData::Opaque,
    }
}

/// The options of EDNS (RFC 6891 section 6.1.2), up to the first that is not whole.
fn options<'a>(raw: &[u8]) -> Vec<(u16, Cow<'a, [u8]>)> {
    let mut options = Vec::new();
    let mut rest = raw;
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let [code_high, code_low, length_high, length_low] = *head;
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        let Some((data, next)) = after.split_at_checked(length) else { break };
        if options.len() >= MAX_EDNS_OPTIONS {
            break;
        }
        options.push((u16::from_be_bytes([code_high, code_low]), Cow::Owned(data.to_vec())));
        rest = next;
    }
    options
}

fn each<'a, T>(record: &Record<'a>, list: &Fields, element: impl Fn(u32) -> T) -> Vec<T> {
    let Some(slot) = list.slot(record) else { return Vec::new() };
    let bases = (0..record.count(slot)).filter_map(|index| record.element_base(slot, index));
    bases.take(MAX_RESOURCE_RECORDS).map(element).collect()
}

fn count(record: &Record<'_>, list: &Fields) -> u32 {
    list.slot(record).map_or(0, |slot| record.count(slot))
}

fn elements<'a>(layout: &'a Layout, path: &str) -> Option<&'a Layout> {
    match &layout.field(path)?.kind {
        Type::List(elements) => Some(elements),
        _ => None,
    }
}

fn number<T: TryFrom<i64> + Default>(value: Value<'_>) -> T {
    value.as_number().and_then(|number| T::try_from(number).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_end_where_they_are_cut_off() {
        let raw = [0, 10, 0, 2, 0xab, 0xcd, 0, 8, 0, 0, 0, 3, 0, 9, 1];
        let found = options(&raw);
        assert_eq!(found, [(10, Cow::Borrowed(&[0xab, 0xcd][..])), (8, Cow::Borrowed(&[][..]))]);
        assert_eq!(options(&[0, 1, 0]), []);
        assert_eq!(options(&[0; 4 * 100]).len(), MAX_EDNS_OPTIONS);
    }

    #[test]
    fn a_fingerprint_needs_its_two_numbers() {
        assert_eq!(opaque(SSHFP, Cow::Borrowed(&[1])), ResourceData::Opaque);
        assert_eq!(
            opaque(SSHFP, Cow::Borrowed(&[3, 1, 0xaa])),
            ResourceData::Fingerprint { algorithm: 3, kind: 1, fingerprint: Cow::Borrowed(&[0xaa]) }
        );
    }

    #[test]
    fn a_scheme_without_the_events_has_no_messages() {
        assert!(DnsFields::new(&ProtocolScheme::default()).is_none());
    }
}
