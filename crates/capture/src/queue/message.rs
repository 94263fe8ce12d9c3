//! The messages of nfnetlink_queue: reading packets and errors, writing verdicts and settings.
//!
//! A message is a netlink header, a header of nfnetlink, and attributes, each aligned to four octets (`linux/netlink.h`,
//! `linux/netfilter/nfnetlink_queue.h`). Headers are in the order of the machine, values of nfnetlink in that of the network.

use std::ops::Range;

use super::{Disposition, PacketId, QueueSettings};

const NETLINK_HEADER: usize = 16;
const HEADERS: usize = NETLINK_HEADER + 4;
const ATTRIBUTE_HEADER: usize = 4;
/// The flags of an attribute, which are no part of its type.
const TYPE_MASK: u16 = 0x3fff;

/// The verdict numbers of netfilter.
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A packet waits.
    Packet(PacketMessage),
    /// The kernel answers a message of ours: 0 or an `errno`.
    Answer(i32),
    /// Something that does not concern us.
    Other,
    /// It cannot be read.
    Damaged,
}

/// A packet, with the place of its octets in the datagram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PacketMessage {
    pub(super) id: u32,
    pub(super) hook: u8,
    pub(super) mark: u32,
    pub(super) input: u32,
    pub(super) output: u32,
    /// `None` if it is that of the payload.
    pub(super) original_length: Option<u32>,
    pub(super) information: u32,
    pub(super) payload: Range<usize>,
}

/// Reads the message at `at` of a datagram; returns it with the place where the next one starts. `None` at the end.
pub(super) fn read(datagram: &[u8], at: usize) -> Option<(Message, usize)> {
    let rest = datagram.get(at..)?;
    if rest.is_empty() {
        return None;
    }
    let damaged = Some((Message::Damaged, datagram.len()));
    let (Some(length), Some(kind)) = (native_u32(rest, 0), native_u16(rest, 4)) else { return damaged };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length < NETLINK_HEADER || length > rest.len() {
        return damaged;
    }
    let end = at.saturating_add(length);
    let next = at.saturating_add(length.next_multiple_of(4)).min(datagram.len());
    let message = match i32::from(kind) {
        libc::NLMSG_ERROR => match native_u32(rest, NETLINK_HEADER) {
            Some(error) if length >= HEADERS => Message::Answer(error.cast_signed().wrapping_neg()),
            _ => Message::Damaged,
        },
        _ if kind == packet_type() => {
            read_packet(datagram, at.saturating_add(HEADERS), end).map_or(Message::Damaged, Message::Packet)
        }
        _ => Message::Other,
    };
    Some((message, next))
}

fn read_packet(datagram: &[u8], start: usize, end: usize) -> Option<PacketMessage> {
    let mut packet = PacketMessage::default();
    let mut has_header = false;
    let mut at = start;
    // A few octets less than a header may remain: padding.
    while at.saturating_add(ATTRIBUTE_HEADER) <= end {
        let header = datagram.get(at..end)?;
        let length = usize::from(native_u16(header, 0)?);
        let kind = native_u16(header, 2)? & TYPE_MASK;
        if length < ATTRIBUTE_HEADER || length > header.len() {
            return None;
        }
        let value = header.get(ATTRIBUTE_HEADER..length)?;
        match i32::from(kind) {
            libc::NFQA_PACKET_HDR => {
                packet.id = network_u32(value)?;
                packet.hook = *value.get(6)?;
                has_header = true;
            }
            libc::NFQA_MARK => packet.mark = network_u32(value)?,
            libc::NFQA_IFINDEX_INDEV => packet.input = network_u32(value)?,
            libc::NFQA_IFINDEX_OUTDEV => packet.output = network_u32(value)?,
            libc::NFQA_CAP_LEN => packet.original_length = Some(network_u32(value)?),
            libc::NFQA_SKB_INFO => packet.information = network_u32(value)?,
            libc::NFQA_PAYLOAD => {
                packet.payload = at.saturating_add(ATTRIBUTE_HEADER)..at.saturating_add(length);
            }
            _ => {}
        }
        at = at.saturating_add(length.next_multiple_of(4));
    }
    has_header.then_some(packet)
}

/// Appends a verdict.
pub(super) fn write_verdict(out: &mut Vec<u8>, queue: u16, id: PacketId, disposition: Disposition<'_>) {
    let (verdict, mark, octets) = match disposition {
        Disposition::Accept { mark } => (NF_ACCEPT, mark, None),
        Disposition::Replace { octets, mark } => (NF_ACCEPT, mark, Some(octets)),
        Disposition::Drop => (NF_DROP, None, None),
    };
    write_message(out, libc::NFQNL_MSG_VERDICT, queue, 0, |out| {
        let mut header = [0; 8];
        header[..4].copy_from_slice(&verdict.to_be_bytes());
        header[4..].copy_from_slice(&id.0.to_be_bytes());
        write_attribute(out, libc::NFQA_VERDICT_HDR, &header);
        if let Some(mark) = mark {
            write_attribute(out, libc::NFQA_MARK, &mark.to_be_bytes());
        }
        if let Some(octets) = octets {
            write_attribute(out, libc::NFQA_PAYLOAD, octets);
        }
    });
}

/// How many octets a verdict needs at most.
pub(super) const fn verdict_length(disposition: Disposition<'_>) -> usize {
    const FIXED: usize = HEADERS + ATTRIBUTE_HEADER + 8 + ATTRIBUTE_HEADER + 4;
    match disposition {
        Disposition::Replace { octets, .. } => FIXED.saturating_add(ATTRIBUTE_HEADER + 3).saturating_add(octets.len()),
        _ => FIXED,
    }
}

/// Appends what binds a queue: nothing is sent to it yet, and the kernel answers.
pub(super) fn write_bind(out: &mut Vec<u8>, settings: &QueueSettings) {
    write_message(out, libc::NFQNL_MSG_CONFIG, settings.number, libc::NLM_F_ACK, |out| {
        write_attribute(out, libc::NFQA_CFG_CMD, &[low_octet(libc::NFQNL_CFG_CMD_BIND), 0, 0, 0]);
        write_attribute(out, libc::NFQA_CFG_QUEUE_MAXLEN, &settings.length.to_be_bytes());
        let flag = |flag: i32, on: bool| if on { flag.cast_unsigned() } else { 0 };
        let flags = flag(libc::NFQA_CFG_F_GSO, settings.segmentation_offload)
            | flag(libc::NFQA_CFG_F_FAIL_OPEN, settings.fail_open);
        let mask = (libc::NFQA_CFG_F_GSO | libc::NFQA_CFG_F_FAIL_OPEN).cast_unsigned();
        write_attribute(out, libc::NFQA_CFG_FLAGS, &flags.to_be_bytes());
        write_attribute(out, libc::NFQA_CFG_MASK, &mask.to_be_bytes());
    });
}

/// Appends what opens a bound queue: from now on packets are handed over.
pub(super) fn write_start(out: &mut Vec<u8>, settings: &QueueSettings) {
    write_message(out, libc::NFQNL_MSG_CONFIG, settings.number, 0, |out| {
        let [a, b, c, d] = settings.copy_range.to_be_bytes();
        write_attribute(out, libc::NFQA_CFG_PARAMS, &[a, b, c, d, low_octet(libc::NFQNL_COPY_PACKET)]);
    });
}

/// Appends what gives a queue back; packets that wait in it are dropped.
pub(super) fn write_unbind(out: &mut Vec<u8>, queue: u16) {
    write_message(out, libc::NFQNL_MSG_CONFIG, queue, 0, |out| {
        write_attribute(out, libc::NFQA_CFG_CMD, &[low_octet(libc::NFQNL_CFG_CMD_UNBIND), 0, 0, 0]);
    });
}

fn write_message(out: &mut Vec<u8>, kind: i32, queue: u16, flags: i32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    out.extend(message_type(kind).to_ne_bytes());
    out.extend(u16::try_from(libc::NLM_F_REQUEST | flags).unwrap_or_default().to_ne_bytes());
    out.extend([0; 8]); // sequence number and port
    out.extend([low_octet(libc::AF_UNSPEC), 0]); // family, version
    out.extend(queue.to_be_bytes());
    body(out);
    let length = u32::try_from(out.len().saturating_sub(start)).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start.saturating_add(4)) {
        place.copy_from_slice(&length.to_ne_bytes());
    }
}

/// Appends an attribute. A value too long for one, which callers refuse before, is cut.
fn write_attribute(out: &mut Vec<u8>, kind: i32, value: &[u8]) {
    let length = u16::try_from(value.len().saturating_add(ATTRIBUTE_HEADER)).unwrap_or(u16::MAX);
    out.extend(length.to_ne_bytes());
    out.extend(u16::try_from(kind).unwrap_or_default().to_ne_bytes());
    out.extend(value.iter().take(usize::from(length).saturating_sub(ATTRIBUTE_HEADER)));
    let padding = usize::from(length).next_multiple_of(4).saturating_sub(usize::from(length));
    out.extend([0; 3].iter().take(padding));
}

fn message_type(kind: i32) -> u16 {
    u16::try_from((libc::NFNL_SUBSYS_QUEUE << 8) | kind).unwrap_or_default()
}

fn packet_type() -> u16 {
    message_type(libc::NFQNL_MSG_PACKET)
}

fn low_octet(number: i32) -> u8 {
    number.to_le_bytes()[0]
}

fn native_u16(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

fn native_u32(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn network_u32(octets: &[u8]) -> Option<u32> {
    octets.first_chunk().copied().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(attributes: &[(i32, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        write_message(&mut out, libc::NFQNL_MSG_PACKET, 7, 0, |out| {
            for (kind, value) in attributes {
                write_attribute(out, *kind, value);
            }
        });
        out
    }

    const HEADER: [u8; 7] = [0, 0, 1, 2, 8, 0, 2];

    #[test]
    fn a_packet_is_read() {
        let octets = packet(&[
            (libc::NFQA_PACKET_HDR, &HEADER),
            (libc::NFQA_MARK, &[0, 0, 0, 9]),
            (libc::NFQA_IFINDEX_INDEV, &[0, 0, 0, 3]),
            (libc::NFQA_IFINDEX_OUTDEV, &[0, 0, 0, 4]),
            (libc::NFQA_SKB_INFO, &[0, 0, 0, 2]),
            (libc::NFQA_CAP_LEN, &[0, 0, 1, 0]),
            (libc::NFQA_PAYLOAD, b"abcde"),
        ]);
        let Some((Message::Packet(read), next)) = read(&octets, 0) else { panic!("a packet") };
        assert_eq!((read.id, read.hook, read.mark, read.input, read.output), (0x102, 2, 9, 3, 4));
        assert_eq!((read.original_length, read.information), (Some(256), 2));
        assert_eq!(&octets[read.payload], b"abcde");
        assert_eq!(next, octets.len());
    }

    #[test]
    fn messages_that_follow_each_other_are_read() {
        let mut octets = packet(&[(libc::NFQA_PACKET_HDR, &HEADER), (libc::NFQA_PAYLOAD, b"a")]);
        let first = octets.len();
        octets.extend(packet(&[(libc::NFQA_PACKET_HDR, &HEADER)]));
        let (_, next) = read(&octets, 0).unwrap();
        assert_eq!(next, first);
        let (message, next) = read(&octets, next).unwrap();
        assert!(matches!(message, Message::Packet(PacketMessage { id: 0x102, .. })));
        assert_eq!(read(&octets, next), None);
    }

    #[test]
    fn answers_are_read() {
        let answer = |error: i32| {
            let mut octets = 36_u32.to_ne_bytes().to_vec();
            octets.extend(2_u16.to_ne_bytes());
            octets.extend([0; 10]);
            octets.extend(error.to_ne_bytes());
            octets.extend([0; 16]);
            read(&octets, 0).unwrap().0
        };
        assert_eq!(answer(0), Message::Answer(0));
        assert_eq!(answer(-libc::EPERM), Message::Answer(libc::EPERM));
    }

    #[test]
    fn what_is_no_packet_is_damaged() {
        let whole = packet(&[(libc::NFQA_PACKET_HDR, &HEADER), (libc::NFQA_PAYLOAD, b"abcdefgh")]);
        for length in 1..whole.len() {
            assert_eq!(read(&whole[..length], 0), Some((Message::Damaged, length)), "{length}");
        }
        assert_eq!(read(&packet(&[(libc::NFQA_PAYLOAD, b"ab")]), 0).unwrap().0, Message::Damaged, "no header");
        assert_eq!(read(&packet(&[(libc::NFQA_PACKET_HDR, &[0; 6])]), 0).unwrap().0, Message::Damaged, "short header");
        let mut long = whole.clone();
        long[HEADERS] = 0xff;
        assert_eq!(read(&long, 0).unwrap().0, Message::Damaged, "an attribute beyond the message");
        let mut empty = whole;
        empty[HEADERS] = 3;
        assert_eq!(read(&empty, 0).unwrap().0, Message::Damaged, "an attribute shorter than its header");
    }

    #[test]
    fn verdicts_are_written_as_the_kernel_reads_them() {
        let mut out = Vec::new();
        let octets = [7; 5];
        let disposition = Disposition::Replace { octets: &octets, mark: Some(0x0a0b_0c0d) };
        write_verdict(&mut out, 0x0102, PacketId(0x0304_0506), disposition);
        let mut expected = 52_u32.to_ne_bytes().to_vec();
        expected.extend(0x0301_u16.to_ne_bytes());
        expected.extend(1_u16.to_ne_bytes());
        expected.extend([0; 10]);
        expected.extend([1, 2]);
        expected.extend(12_u16.to_ne_bytes());
        expected.extend(2_u16.to_ne_bytes());
        expected.extend([0, 0, 0, 1, 3, 4, 5, 6]);
        expected.extend(8_u16.to_ne_bytes());
        expected.extend(3_u16.to_ne_bytes());
        expected.extend([0x0a, 0x0b, 0x0c, 0x0d]);
        expected.extend(9_u16.to_ne_bytes());
        expected.extend(10_u16.to_ne_bytes());
        expected.extend([7, 7, 7, 7, 7, 0, 0, 0]);
        assert_eq!(out, expected);
        assert!(out.len() <= verdict_length(disposition));
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut at = 0;
            while let Some((message, next)) = read(&octets, at) {
                prop_assert!(next > at && next <= octets.len());
                if let Message::Packet(packet) = message {
                    prop_assert!(octets.get(packet.payload).is_some());
                }
                at = next;
            }
        }

        #[test]
        fn no_flipped_octet_makes_it_panic(at in 0_usize..64, value in any::<u8>()) {
            let mut octets = packet(&[
                (libc::NFQA_PACKET_HDR, &HEADER),
                (libc::NFQA_MARK, &[0, 0, 0, 9]),
                (libc::NFQA_PAYLOAD, b"abcdefgh"),
            ]);
            if let Some(octet) = octets.get_mut(at) {
                *octet = value;
            }
            if let Some((Message::Packet(packet), _)) = read(&octets, 0) {
                prop_assert!(octets.get(packet.payload).is_some());
            }
        }
    }
}
