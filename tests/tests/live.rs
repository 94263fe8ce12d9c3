//! `portcullis live` on the interface of a gateway that real mail passes.

use std::time::Duration;

use portcullis_tests::mail::{Host, Programs};
use portcullis_tests::namespace::{Line, Need, Offloads, Process, lacking, until};
use portcullis_tests::{command, portcullis};
use serde_json::Value;

#[test]
fn mail_that_passes_is_told_and_an_interface_that_goes_too() {
    if lacking(&[Need::Namespaces, Need::Program("ethtool"), Need::Program("curl")]) {
        return;
    }
    let Some(programs) = Programs::fetch() else { return };
    let line = Line::routed(Offloads::On);
    let inside = Host::new(&programs, &line.server, &line.addresses);
    let outside = Host::new(&programs, &line.client, &line.addresses);
    let address = line.addresses.server_v4(0);
    let _postfix = inside.postfix(address.into(), &[]);
    let folder = tempfile::tempdir().unwrap();
    let (eve, log) = (folder.path().join("eve.json"), folder.path().join("live.log"));
    let program = command();
    let mut live = line.gateway.command(program.get_program());
    live.args(["live", "--interface", "g0", "--quiet", "--eve"]).arg(&eve);
    let mut process = Process::start(live, Some(&log));
    let said = |text: &str| std::fs::read_to_string(&log).unwrap_or_default().contains(text);
    assert!(until(Duration::from_secs(10), || said("capturing on g0")), "{}", std::fs::read_to_string(&log).unwrap());

    let mail = outside.write("mail.eml", "Subject: hello\r\n\r\nhi\r\n").display().to_string();
    let url = format!("smtp://{address}");
    let ends = ["--mail-from", "x@banned.example", "--mail-rcpt", "bob@inside.test", "--max-time", "20", "-sS"];
    let run = outside.run("curl", ["--url", &url, "--upload-file", &mail].into_iter().chain(ends));
    assert_eq!(run.status, 0, "{}", run.stderr);
    let records = || -> Vec<Value> {
        let text = std::fs::read_to_string(&eve).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let has = |event_type: &str| records().iter().any(|record| record["event_type"] == event_type);
    assert!(until(Duration::from_secs(5), || has("smtp") && has("alert")), "{:?}", records());
    let mail = records().into_iter().find(|record| record["event_type"] == "smtp").unwrap();
    assert_eq!(mail["smtp"]["mail_from"], "<x@banned.example>", "{mail}");

    process.signal("TERM");
    assert!(process.wait(Duration::from_secs(5)).is_some_and(|status| status.success()));
    assert!(has("stats") && has("flow"), "{:?}", records());

    let mut live = line.gateway.command(program.get_program());
    live.args(["live", "--interface", "g0", "--quiet"]);
    let mut process = Process::start(live, Some(&log));
    std::thread::sleep(Duration::from_secs(1));
    line.gateway.shell("ip link del g0");
    let status = process.wait(Duration::from_secs(5));
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(status.is_some_and(|status| status.code() == Some(2)), "{status:?} {log}");
    assert!(log.contains("g0"), "{log}");
}

#[test]
fn an_interface_that_is_not_there_is_told() {
    let run = portcullis(["live", "--interface", "no-such-interface"]);
    assert_eq!(run.status, 2, "{}", run.stderr);
    assert!(run.stderr.contains("no-such-interface"), "{}", run.stderr);
}
