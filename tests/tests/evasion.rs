//! Linux as the oracle: what a receiver reads of generated evasions is what the flow table reports. The long run is
//! `make evasion`.

use std::process::Command;

/// How many cases are played each way.
const CASES: &str = "500";

fn evasion(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_evasion")).args(arguments).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), text)
}

#[test]
fn linux_reads_what_is_reported_and_what_is_let_through() {
    let (status, text) = evasion(&["--cases", CASES, "--seed", "1"]);
    println!("{text}");
    if status == 77 {
        // What is missing here it has said.
        return;
    }
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("25 of 25 honest cases were read as they were said"), "{text}");
    assert!(text.contains(&format!("capture: N = {CASES}, seed = 1")), "{text}");
    assert!(text.contains(&format!("gate: N = {CASES}, seed = 1")), "{text}");
}

#[test]
fn what_was_typed_wrong_is_explained() {
    for (arguments, expected) in [
        (&["--cases", "many"][..], "`many` is no number"),
        (&["--cases"], "--cases needs a value"),
        (&["--way", "round"], "`round` is no way: capture or gate"),
        (&["--help"], "evasion [--cases N] [--seed S]"),
    ] {
        let (status, text) = evasion(arguments);
        assert_eq!(status, 2, "{text}");
        assert!(text.contains(expected), "{text}");
    }
}
