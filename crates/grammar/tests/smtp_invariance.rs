//! The same octets in the same order tell the same, however they are cut: made-up conversations of SMTP.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use proptest::prelude::*;
use support::conversations::{conversation, whole};
use support::{Pieces, Told, converse, cuttings, smtp};

fn lines(told: &[Told]) -> Vec<String> {
    told.iter().map(|told| format!("{told:?}")).collect()
}

/// Fails unless all cuttings tell the same.
fn invariant(pieces: &Pieces, random: &[u16]) {
    let expected = converse(smtp(), &whole(pieces));
    for cutting in cuttings(pieces, random) {
        let told = converse(smtp(), &cutting);
        if told != expected {
            let shown: Vec<String> =
                cutting.iter().map(|(direction, octets)| format!("{direction} {}", octets.escape_ascii())).collect();
            let (told, expected) = (lines(&told), lines(&expected));
            let place = told.iter().zip(&expected).take_while(|(one, two)| one == two).count();
            panic!("cut as {shown:#?}\n{:#?}\nis told, and whole\n{:#?}", told.get(place..), expected.get(place..));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cutting_changes_nothing(pieces in conversation(), random in prop::collection::vec(any::<u16>(), 1..8)) {
        invariant(&pieces, &random);
    }
}
