//! Packets and fragments of any octets.

use std::net::{IpAddr, SocketAddr};

use portcullis_wire::{
    Decoded, Defragmenter, FragmentLimits, FragmentOutcome, FragmentOverlaps, IpPacket, LinkType, Network, TcpFlags,
    Timestamp, Transport, UdpPacket, Unreachable, decode, protocol, reset_to_receiver, reset_to_sender, unreachable,
};

use super::choices::{Choices, Dice};

/// Decodes a packet: the first octet is the link type, the rest the packet.
///
/// No view reaches beyond the packet, decoding twice gives the same, what is cut off is said to be missing, and packets
/// built in answer are understood by the decoder, with right checksums.
pub fn packets(octets: &[u8]) {
    let mut choices = Choices::new(octets);
    let link = LinkType::ALL[usize::from(choices.octet()) % LinkType::ALL.len()];
    let packet = choices.rest();
    let decoded = decode(link, packet);
    let shown = format!("{decoded:?} {:?} {}", decoded.vlans.as_slice(), decoded.vlans.outer());
    let again = decode(link, packet);
    assert_eq!(shown, format!("{again:?} {:?} {}", again.vlans.as_slice(), again.vlans.outer()));
    for anomaly in decoded.anomalies.iter() {
        assert!(!anomaly.name().is_empty());
    }
    let Some(ip) = ip_of(&decoded) else { return };
    assert!(ip.header.len() + ip.payload.len() <= packet.len());
    let _ = (ip.ports(), ip.length(), ip.verify_header(), ip.verify_transport());
    if let Ok(answer) = unreachable(ip, Unreachable::Port) {
        let answer = decode(LinkType::RawIp, &answer);
        let answer = ip_of(&answer).expect("an answer is an IP packet");
        assert!(matches!(answer.transport(), Transport::Icmp(_)), "{answer:?}");
        assert!(answer.verify_header().is_acceptable() && answer.verify_transport().is_acceptable());
        assert_eq!(answer.destination, ip.source);
    }
    match ip.transport() {
        Transport::Tcp(segment) => {
            assert_eq!(segment.header.len() + segment.payload.len(), ip.payload.len());
            let _ = format!("{segment:?} {:?} {:?}", segment.options.values(), segment.anomalies());
            let _ = segment.sequence_end();
            assert!(segment.options.iter().count() <= 40);
            for answer in [reset_to_sender(ip, &segment), reset_to_receiver(ip, &segment)].into_iter().flatten() {
                let answer = decode(LinkType::RawIp, &answer);
                let answer = ip_of(&answer).expect("a reset is an IP packet");
                assert!(answer.verify_header().is_acceptable() && answer.verify_transport().is_acceptable());
                let Transport::Tcp(reset) = answer.transport() else { panic!("a reset is a segment: {answer:?}") };
                assert!(reset.flags.contains(TcpFlags::RST) && reset.payload.is_empty());
            }
        }
        Transport::Udp(datagram) => {
            assert!(datagram.header.len() + datagram.payload.len() <= ip.payload.len());
        }
        Transport::Icmp(message) => {
            if let Some(quoted) = message.quoted() {
                let _ = (quoted.ports(), quoted.verify_transport(), format!("{:?}", quoted.transport()));
            }
        }
        Transport::Fragment | Transport::Malformed(_) | Transport::Other(_) => {}
    }
}

/// The first octet says which, and what becomes of overlaps: a datagram cut into fragments that come in any order and more than once is put together
/// to what it was; fragments of any kind stay within the bounds.
pub fn fragments(octets: &[u8]) {
    let mut choices = Choices::new(octets);
    let kind = choices.octet();
    let overlaps = match kind >> 2 & 3 {
        0 => FragmentOverlaps::Discard,
        1 => FragmentOverlaps::First,
        2 => FragmentOverlaps::BeginsFirst,
        _ => FragmentOverlaps::Last,
    };
    if kind & 1 == 0 { whole_again(kind & 2 != 0, overlaps, choices) } else { any_fragments(overlaps, choices) }
}

fn whole_again(version_6: bool, overlaps: FragmentOverlaps, mut choices: Choices<'_>) {
    let mut dice = Dice::new(u64::from(choices.word()));
    let mut cuts: Vec<usize> = choices.take(6).iter().map(|octet| 8 * usize::from(*octet)).collect();
    let payload = choices.take(2_000);
    let (source, destination) = if version_6 {
        (IpAddr::from([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), IpAddr::from([0xfd; 16]))
    } else {
        (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]))
    };
    let udp =
        UdpPacket { source: SocketAddr::new(source, 1000), destination: SocketAddr::new(destination, 53), payload };
    let packet = udp.build().expect("a datagram of 2,000 octets");
    let header = if version_6 { 40 } else { 20 };
    let (header, datagram) = packet.split_at(header);

    cuts.extend([0, datagram.len()]);
    cuts.retain(|cut| *cut <= datagram.len());
    cuts.sort_unstable();
    cuts.dedup();
    let mut pieces: Vec<(usize, usize)> = cuts.iter().zip(cuts.iter().skip(1)).map(|(from, to)| (*from, *to)).collect();
    if pieces.len() < 2 {
        return;
    }
    // Any order, and one of them twice before the last comes.
    for last in (1..pieces.len()).rev() {
        pieces.swap(last, dice.below(last + 1));
    }
    let repeated = pieces[dice.below(pieces.len() - 1)];
    pieces.insert(pieces.len() - 1, repeated);

    let mut defragmenter = Defragmenter::new(FragmentLimits::default(), Some(7)).with_overlaps(overlaps);
    let mut abandoned = Vec::new();
    let count = pieces.len();
    for (number, (from, to)) in pieces.into_iter().enumerate() {
        let made = fragment(header, from, to < datagram.len(), &datagram[from..to]);
        let decoded = decode(LinkType::RawIp, &made);
        let ip = ip_of(&decoded).expect("a fragment is an IP packet");
        let result = defragmenter.insert(Timestamp::from_seconds(1), 0, ip, &mut abandoned);
        match result.outcome {
            FragmentOutcome::Complete(whole) => {
                assert_eq!(number + 1, count, "complete before the last fragment");
                assert_eq!(whole.fragments, count - 1);
                let decoded = whole.decode();
                let ip = ip_of(&decoded).expect("a datagram is an IP packet");
                assert_eq!(ip.payload, datagram);
                assert!(ip.verify_transport().is_acceptable());
            }
            FragmentOutcome::Held | FragmentOutcome::Duplicate => assert!(number + 1 < count, "never complete"),
            outcome => panic!("{outcome:?}: {:?}", result.anomalies),
        }
    }
    assert!(abandoned.is_empty() && defragmenter.is_empty());
}

/// A fragment of a packet with this header.
fn fragment(header: &[u8], offset: usize, more: bool, piece: &[u8]) -> Vec<u8> {
    let mut made = header.to_vec();
    let units = u16::try_from(offset / 8).expect("an offset below 65,536");
    if header.len() == 40 {
        let length = u16::try_from(piece.len() + 8).expect("a short piece");
        made[4..6].copy_from_slice(&length.to_be_bytes());
        made[6] = 44;
        made.extend([protocol::UDP, 0]);
        made.extend((units << 3 | u16::from(more)).to_be_bytes());
        made.extend([0, 0, 0, 9]);
    } else {
        let length = u16::try_from(piece.len() + 20).expect("a short piece");
        made[2..4].copy_from_slice(&length.to_be_bytes());
        made[4..6].copy_from_slice(&[0, 9]);
        made[6..8].copy_from_slice(&(units | u16::from(more) << 13).to_be_bytes());
    }
    made.extend(piece);
    made
}

fn any_fragments(overlaps: FragmentOverlaps, mut choices: Choices<'_>) {
    let limits = FragmentLimits { datagrams: 4, bytes: 10_000, fragments: 8, ..FragmentLimits::default() };
    let mut defragmenter = Defragmenter::new(limits.clone(), Some(7)).with_overlaps(overlaps);
    let mut abandoned = Vec::new();
    let mut seconds = 0;
    while !choices.is_empty() {
        let [flags, identification, offset, length] =
            [choices.octet(), choices.octet(), choices.octet(), choices.octet()];
        let payload = choices.take(usize::from(length % 64));
        let mut packet;
        if flags & 2 != 0 {
            packet = vec![0x60, 0, 0, 0, 0, length % 64 + 8, 44, 64];
            packet.extend([[1; 16], [2; 16]].concat());
            packet.extend([protocol::UDP, 0, 0, offset << 3 | flags & 1, 0, 0, 0, identification % 6]);
        } else {
            packet = vec![0x45, 0, 0, length % 64 + 20, 0, identification % 6, (flags & 1) << 5, offset];
            packet.extend([64, protocol::UDP, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
        }
        packet.extend(payload);
        let decoded = decode(LinkType::RawIp, &packet);
        let Some(ip) = ip_of(&decoded) else { continue };
        seconds += i64::from(flags >> 3);
        let now = Timestamp::from_seconds(seconds);
        if let FragmentOutcome::Complete(made) = defragmenter.insert(now, 0, ip, &mut abandoned).outcome {
            assert!(made.bytes.len() <= 65_575 && made.fragments <= limits.fragments);
            let mut again = vec![5];
            again.extend(&made.bytes);
            packets(&again);
        }
        assert!(defragmenter.held_bytes() <= limits.bytes && defragmenter.len() <= limits.datagrams);
    }
    defragmenter.finish(&mut abandoned);
    assert!(defragmenter.is_empty() && defragmenter.held_bytes() == 0);
}

fn ip_of<'a, 'b>(decoded: &'b Decoded<'a>) -> Option<&'b IpPacket<'a>> {
    match &decoded.network {
        Network::Ip(packet) => Some(packet),
        _ => None,
    }
}
