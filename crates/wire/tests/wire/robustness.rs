//! Nothing on the wire can make the decoder, the defragmenter or a builder panic.

use crate::support::{ask_everything, ip_of, recipes};
use portcullis_wire::{Defragmenter, FragmentLimits, FragmentOutcome, LinkType, Timestamp, decode};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn random_octets(link in 0..LinkType::ALL.len(), data in prop::collection::vec(any::<u8>(), 0..200)) {
        ask_everything(LinkType::ALL[link], &data);
    }

    /// Random octets seldom get past the first header, so these begin like one.
    #[test]
    fn random_octets_behind_a_plausible_header(
        header in prop::sample::select(vec![
            vec![0x45, 0, 0, 100], vec![0x4f, 0, 0, 100], vec![0x60, 0, 0, 0, 0, 60, 0], vec![0x60, 0, 0, 0, 0, 60, 44],
            vec![0x60, 0, 0, 0, 0, 60, 43], vec![0x60, 0, 0, 0, 0, 60, 51], vec![0x60, 0, 0, 0, 0, 60, 6],
            vec![0x60, 0, 0, 0, 0, 0, 0],
        ]),
        protocol in prop::sample::select(vec![1_u8, 6, 17, 58]),
        data in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut packet = header;
        packet.extend(data);
        if packet[0] >> 4 == 4 && packet.len() > 9 {
            packet[9] = protocol;
        }
        ask_everything(LinkType::RawIp, &packet);
    }

    #[test]
    fn mutated_packets(
        recipe in recipes(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        length in any::<prop::sample::Index>(), cut: bool,
    ) {
        let mut frame = recipe.frame();
        for (place, value) in changes {
            // Headers are where it hurts.
            let place = place.index(frame.len().min(100));
            frame[place] = value;
        }
        if cut {
            frame.truncate(length.index(frame.len() + 1));
        }
        ask_everything(LinkType::Ethernet, &frame);
    }

    #[test]
    fn fragments_of_random_octets(
        packets in prop::collection::vec((any::<bool>(), 0..4_u8, 0..6_u8, any::<u8>(), prop::collection::vec(any::<u8>(), 0..60)), 1..40),
    ) {
        let limits = FragmentLimits { datagrams: 4, bytes: 10_000, fragments: 8, ..FragmentLimits::default() };
        let mut defragmenter = Defragmenter::new(limits.clone(), Some(7));
        let mut abandoned = Vec::new();
        for (version_6, identification, offset, flags, payload) in packets {
            let mut packet;
            if version_6 {
                packet = vec![0x60, 0, 0, 0, 0, payload.len() as u8 + 8, 44, 64];
                packet.extend([[1; 16], [2; 16]].concat());
                packet.extend([17, 0, 0, offset << 3 | flags & 1, 0, 0, 0, identification]);
            } else {
                packet = vec![0x45, 0, 0, payload.len() as u8 + 20, 0, identification, (flags & 1) << 5, offset];
                packet.extend([64, 17, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
            }
            packet.extend(payload);
            let decoded = decode(LinkType::RawIp, &packet);
            let Some(ip) = ip_of(&decoded) else { continue };
            let now = Timestamp::from_seconds(i64::from(flags >> 1));
            if let FragmentOutcome::Complete(made) = defragmenter.insert(now, 0, ip, &mut abandoned).outcome {
                ask_everything(LinkType::RawIp, &made.bytes);
            }
            prop_assert!(defragmenter.held_bytes() <= limits.bytes && defragmenter.len() <= limits.datagrams);
        }
    }
}
