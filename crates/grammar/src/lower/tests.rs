//! Tests of lowering: the shipped grammars, and one source for each message.

use portcullis_lang::{Sources, render_all};

use crate::load;
use crate::model::Protocol;

fn shipped(name: &str) -> (Protocol, String) {
    let path = format!("{}/../../grammars/{name}.grammar", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut sources = Sources::new();
    match load(&mut sources, &format!("{name}.grammar"), &text) {
        Ok((protocol, warnings)) => {
            let text = render_all(&warnings, &sources, false);
            (protocol, text)
        }
        Err(diagnostics) => panic!("{}", render_all(&diagnostics, &sources, false)),
    }
}

#[test]
fn smtp_loads() {
    let (protocol, warnings) = shipped("smtp");
    assert_eq!(warnings, "");
    assert_eq!(protocol.name, "smtp");
}

#[test]
fn dns_loads() {
    let (protocol, warnings) = shipped("dns");
    assert_eq!(warnings, "");
    assert_eq!(protocol.name, "dns");
}
