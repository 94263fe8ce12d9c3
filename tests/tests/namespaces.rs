//! The networks that other tests run in: packets cross them, runs do not meet, nothing stays behind.

use std::io::Read;
use std::process::Command;
use std::time::Duration;

use portcullis_tests::namespace::{Line, Namespace, Need, Offloads, Pair, lacking, until};

const NEEDS: &[Need] = &[Need::Namespaces, Need::Program("ethtool")];

fn names() -> String {
    String::from_utf8_lossy(&Command::new("ip").args(["netns", "list"]).output().unwrap().stdout).into_owned()
}

/// Sends a text over TCP from one namespace to another; what arrived.
fn carried(client: &Namespace, server: &Namespace, address: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let arrived = folder.path().join("arrived");
    let script = "import socket,sys\n\
                  s=socket.create_server((sys.argv[1],7777),family=socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)\n\
                  c,_=s.accept()\n\
                  while True:\n    d=c.recv(4096)\n    if not d: break\n    sys.stdout.write(d.decode()); sys.stdout.flush()\n";
    let _server = server.spawn("python3", ["-c", script, address], Some(&arrived));
    assert!(server.listens(7777, Duration::from_secs(10)), "nobody listens");
    let send = "import socket,sys\ns=socket.create_connection((sys.argv[1],7777),5)\ns.sendall(b'through')\n";
    let run = client.run_for(10, "python3", ["-c", send, address]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let mut text = String::new();
    until(Duration::from_secs(5), || {
        text = std::fs::read_to_string(&arrived).unwrap();
        text == "through"
    });
    text
}

#[test]
fn a_router_a_bridge_and_a_cable_carry_both_families() {
    if lacking(NEEDS) || lacking(&[Need::Program("python3")]) {
        return;
    }
    let routed = Line::routed(Offloads::Off);
    let bridged = Line::bridged(Offloads::On);
    let pair = Pair::new(Offloads::Off);
    for (client, server, addresses) in [
        (&routed.client, &routed.server, routed.addresses),
        (&bridged.client, &bridged.server, bridged.addresses),
        (&pair.client, &pair.server, pair.addresses),
    ] {
        assert_eq!(carried(client, server, &addresses.server_v4(1).to_string()), "through");
        assert_eq!(carried(client, server, &addresses.server_v6(1).to_string()), "through");
    }
    let packets = routed.gateway.shell("cat /sys/class/net/g1/statistics/tx_packets");
    assert!(packets.trim().parse::<u64>().unwrap() > 0, "the gateway was passed by");
}

#[test]
fn a_panic_leaves_nothing_behind() {
    if lacking(&[Need::Namespaces]) {
        return;
    }
    let (send, receive) = std::sync::mpsc::channel();
    let outcome = std::thread::spawn(move || {
        let namespace = Namespace::new("panic");
        let process = namespace.spawn("sleep", ["1000"], None);
        // Not a child of the test: only its namespace tells that it is there.
        namespace.shell("setsid sleep 1000 > /dev/null 2>&1 < /dev/null & true");
        assert!(until(Duration::from_secs(5), || namespace.processes().len() == 2));
        send.send((namespace.name().to_owned(), process.id(), namespace.processes())).unwrap();
        panic!("on purpose");
    })
    .join();
    assert!(outcome.is_err());
    let (name, id, inside) = receive.recv().unwrap();
    assert!(inside.contains(&id));
    assert!(!names().contains(&name), "{name} is still there");
    for id in inside {
        // Whoever inherits it may be slow to ask for its end, or never do: "Z" is ended.
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        assert!(status.is_empty() || status.contains("State:\tZ"), "process {id} still runs: {status}");
    }
}

#[test]
fn what_a_killed_run_left_goes_with_the_next() {
    if lacking(&[Need::Namespaces]) {
        return;
    }
    // Numbers of processes end at 4,194,304: this one never was.
    let left = "pcl-4194305-0-left";
    assert!(Command::new("ip").args(["netns", "add", left]).status().unwrap().success());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_run_is_bounded", "--nocapture"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    assert!(!names().contains(left), "{left} is still there");
}

#[test]
fn a_run_is_bounded() {
    if lacking(&[Need::Namespaces]) {
        return;
    }
    let namespace = Namespace::new("bounded");
    assert_eq!(namespace.run_for(1, "sleep", ["30"]).status, 124);
    let run = namespace.run("sh", ["-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (3, "out\n", "err\n"));
    let mut process = namespace.spawn("sleep", ["1000"], None);
    assert!(process.runs());
    process.signal("TERM");
    assert!(process.wait(Duration::from_secs(5)).is_some());
}
