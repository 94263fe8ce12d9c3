//! The corpus of the fuzzer, run through the same properties without one.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use portcullis_tests::properties::PROPERTIES;

#[test]
fn the_corpus_keeps_its_properties() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let mut broken = Vec::new();
    for (target, property) in PROPERTIES {
        assert!(fuzz.join("targets").join(format!("{target}.rs")).exists(), "{target} has no fuzz target");
        let folder = fuzz.join("corpus").join(target);
        let mut count = 0;
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry of the corpus").path();
            let octets = fs::read(&path).expect("a file of the corpus");
            count += 1;
            if catch_unwind(AssertUnwindSafe(|| property(&octets))).is_err() {
                broken.push(path.display().to_string());
            }
        }
        assert!(count > 0, "{target} has no corpus");
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_target_has_a_property() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/targets");
    for entry in fs::read_dir(targets).expect("the targets") {
        let path = entry.expect("a target").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(PROPERTIES.iter().any(|(known, _)| *known == name), "{name} is in no list");
    }
}

/// Small inputs that no corpus should need: nothing, and each single octet.
#[test]
fn next_to_nothing() {
    for (_, property) in PROPERTIES {
        property(&[]);
        for octet in 0..=u8::MAX {
            property(&[octet]);
        }
    }
}
