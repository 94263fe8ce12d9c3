//! `portcullis rules` on firewalls of namespaces: what is set, what packets then do, and that nothing stays.

use std::ffi::OsStr;
use std::fs;
use std::time::Duration;

use portcullis_tests::Run;
use portcullis_tests::namespace::{Line, Namespace, Need, Offloads, Process, lacking, run_of, until};

const NEEDS: &[Need] =
    &[Need::Namespaces, Need::Iptables, Need::Queue, Need::Conntrack, Need::Program("python3"), Need::Program("nft")];
const SET_UPS: [&str; 3] = ["router", "bridge", "host"];

/// Runs the program in a namespace.
fn portcullis<S: AsRef<OsStr>>(namespace: &Namespace, arguments: impl IntoIterator<Item = S>) -> Run {
    let program = portcullis_tests::command();
    let mut command = namespace.command("timeout");
    run_of(&command.arg("30").arg(program.get_program()).args(arguments).output().unwrap())
}

fn rules(namespace: &Namespace, arguments: &[&str]) -> String {
    let run = portcullis(namespace, ["rules"].iter().chain(arguments));
    assert_eq!(run.status, 0, "rules {arguments:?}: {}", run.stderr);
    run.stdout
}

/// All firewall rules of a namespace, without counters, comments, and the order in which tables were first used.
fn saved(namespace: &Namespace) -> String {
    let mut all = String::new();
    for kind in ["legacy", "nft"] {
        for family in ["iptables", "ip6tables"] {
            let saved = namespace.run(&format!("{family}-{kind}-save"), [""; 0]).stdout;
            let mut tables: Vec<String> = saved
                .split("COMMIT")
                .map(|table| {
                    let lines = table.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
                    let lines = lines.map(|line| line.split(" [").next().unwrap_or_default());
                    lines.collect::<Vec<_>>().join("\n")
                })
                .collect();
            tables.sort();
            all += &format!("{family}-{kind}\n{}\n", tables.join("\n"));
        }
    }
    all + &namespace.shell("nft list ruleset | grep -A99 portcullis || true")
}

/// Uses every table once, and has rules of somebody else, so that what is compared later is only what we do.
fn furnish(namespace: &Namespace) {
    for kind in ["legacy", "nft"] {
        for family in ["iptables", "ip6tables"] {
            for table in ["mangle", "filter"] {
                let own = format!("{family}-{kind} -w -t {table}");
                namespace.shell(&format!(
                    "{own} -N PORTCULLISX; {own} -A FORWARD -j PORTCULLISX; {own} -A INPUT -p tcp --dport 22 -j ACCEPT
                     for chain in OUTPUT; do {own} -A $chain -p udp --dport 53 -j ACCEPT; done"
                ));
            }
            let own = format!("{family}-{kind} -w -t mangle");
            namespace.shell(&format!("{own} -A POSTROUTING -p tcp --dport 22 -j ACCEPT"));
        }
    }
}

#[test]
fn rules_are_set_once_replaced_and_removed_without_a_trace() {
    if lacking(NEEDS) {
        return;
    }
    let namespace = Namespace::new("rules");
    furnish(&namespace);
    let before = saved(&namespace);
    for backend in ["iptables-legacy", "iptables-nft"] {
        for set_up in SET_UPS {
            let options = ["--setup", set_up, "--backend", backend, "--queue", "0-3"];
            let said = rules(&namespace, &[&["apply"], &options[..]].concat());
            assert!(said.contains(set_up), "{said}");
            let once = saved(&namespace);
            assert!(once.contains("--queue-balance 0:3"), "{set_up} by {backend}: {once}");
            rules(&namespace, &[&["apply"], &options[..]].concat());
            assert_eq!(saved(&namespace), once, "{set_up} by {backend}: applied twice");
        }
        // The last set-up was a host: what it has in the filter table has to go too.
        rules(&namespace, &["apply", "--backend", backend]);
        assert!(rules(&namespace, &["remove"]).contains(backend));
        assert_eq!(saved(&namespace), before, "{backend}: something is left");
    }
    assert_eq!(rules(&namespace, &["remove"]), "there were no rules of ours\n");
    // From one backend to another, packets must not come to the queue twice.
    rules(&namespace, &["apply", "--backend", "iptables-nft"]);
    rules(&namespace, &["apply", "--backend", "iptables-legacy", "--setup", "host"]);
    assert_eq!(saved(&namespace).matches("NFQUEUE").count(), 2, "one for each version of IP");
    rules(&namespace, &["remove"]);
    assert_eq!(saved(&namespace), before);
}

#[test]
fn what_is_shown_is_what_is_done() {
    if lacking(NEEDS) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for backend in ["iptables-legacy", "iptables-nft"] {
        for set_up in SET_UPS {
            let options = ["--setup", set_up, "--backend", backend, "--port", "25,53/udp", "--no-queue-bypass"];
            let shown = Namespace::new("shown");
            let script = folder.path().join("script");
            // Once on nothing, once over what is there.
            for _ in 0..2 {
                fs::write(&script, rules(&shown, &[&["show"], &options[..]].concat())).unwrap();
                shown.shell(&format!("sh -e {}", script.display()));
            }
            let applied = Namespace::new("applied");
            rules(&applied, &[&["apply"], &options[..]].concat());
            assert_eq!(saved(&shown), saved(&applied), "{set_up} by {backend}");
        }
    }
}

#[test]
fn nft_takes_the_rules_or_lacks_what_they_need() {
    if lacking(NEEDS) {
        return;
    }
    let namespace = Namespace::new("nft");
    let folder = tempfile::tempdir().unwrap();
    for options in [&["--queue", "0-3"][..], &["--setup", "host", "--family", "ipv6", "--no-queue-bypass"]] {
        let shown = rules(&namespace, &[&["show", "--backend", "nft"], options].concat());
        let applied = portcullis(&namespace, ["rules", "apply", "--backend", "nft"].iter().chain(options));
        if applied.status == 0 {
            let listed = namespace.shell("nft list ruleset");
            assert!(listed.contains("portcullis") && listed.contains("queue"), "{listed}");
        } else {
            // A kernel without CONFIG_NFT_QUEUE: everything else has to be right all the same.
            println!("this kernel has no queue for nft: {}", applied.stderr.trim());
            assert!(applied.stderr.contains("queue num"), "{}", applied.stderr);
            let lines: Vec<&str> = shown.lines().filter(|line| !line.contains("queue num")).collect();
            assert_eq!(lines.len() + 1, shown.lines().count());
            let script = folder.path().join("script");
            fs::write(&script, lines.join("\n") + "\n").unwrap();
            namespace.shell(&format!("sh -e {}", script.display()));
        }
        assert!(rules(&namespace, &["remove"]).contains("nft"));
        assert_eq!(namespace.shell("nft list tables | grep portcullis || true"), "");
    }
}

/// A server on port 25 of each address, which says what it was told.
fn serve(line: &Line, addresses: &[String]) -> Vec<Process> {
    let script = "import socket,sys\n\
                  s=socket.create_server((sys.argv[1],25),family=socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)\n\
                  open(sys.argv[2],'w').close()\n\
                  while True:\n    c,_=s.accept()\n    c.settimeout(1)\n    try: c.sendall(b'220 hello '+c.recv(99))\n    except OSError: pass\n    c.close()\n";
    let folder = tempfile::tempdir().unwrap();
    let start = |address: &String| {
        let ready = folder.path().join(address);
        let server = line.server.spawn("python3", ["-c", script, address, &ready.display().to_string()], None);
        assert!(until(Duration::from_secs(20), || ready.exists()), "nobody listens on {address}");
        server
    };
    addresses.iter().map(start).collect()
}

/// Whether octets go from the client to the server's port 25 and back.
fn passes(line: &Line, address: &str) -> bool {
    let ask = "import socket,sys\n\
               s=socket.create_connection((sys.argv[1],25),1.5)\ns.sendall(b'there')\n\
               sys.exit(0 if s.recv(99)==b'220 hello there' else 3)\n";
    line.client.run_for(10, "python3", ["-c", ask, address]).status == 0
}

fn gate(namespace: &Namespace, queue: &str) -> Process {
    let program = portcullis_tests::command();
    let folder = std::env::temp_dir().join(format!("{}.log", namespace.name()));
    let arguments = ["inline", "--queue", queue, "--control", "none", "--policy", "none"];
    let gate = namespace.spawn(program.get_program(), arguments, Some(&folder));
    let bound = until(Duration::from_secs(15), || {
        !namespace.shell("cat /proc/net/netfilter/nfnetlink_queue").trim().is_empty()
    });
    let said = fs::read_to_string(&folder).unwrap_or_default();
    let _ = fs::remove_file(folder);
    assert!(bound, "no queue is bound: {said}");
    gate
}

/// Sets up rules that let nothing pass without a gate, in the namespace where the gate stands, and tries.
fn is_guarded(line: &Line, place: &Namespace, set_up: &str) {
    let addresses = [line.addresses.server_v4(0).to_string(), line.addresses.server_v6(0).to_string()];
    let _servers = serve(line, &addresses);
    let all = |what: &str, wanted: bool| {
        for address in &addresses {
            assert_eq!(passes(line, address), wanted, "{set_up}, {address}: {what}");
        }
    };
    all("without rules", true);
    let options = ["--setup", set_up, "--backend", "iptables-legacy", "--queue", "5"];
    rules(place, &[&["apply"], &options[..]].concat());
    all("nobody reads the queue", true);
    rules(place, &[&["apply", "--no-queue-bypass"], &options[..]].concat());
    all("nobody reads the queue, and nothing passes without", false);
    let gate = gate(place, "5");
    all("with a gate", true);
    drop(gate);
    all("the gate is gone", false);
    rules(place, &["remove"]);
    all("rules are removed", true);
}

#[test]
fn a_router_is_guarded() {
    if lacking(NEEDS) || lacking(&[Need::Program("ethtool")]) {
        return;
    }
    let line = Line::routed(Offloads::On);
    is_guarded(&line, &line.gateway, "router");
}

#[test]
fn a_host_is_guarded() {
    if lacking(NEEDS) {
        return;
    }
    let line = Line::routed(Offloads::On);
    is_guarded(&line, &line.server, "host");
}

#[test]
fn a_bridge_is_guarded() {
    if lacking(NEEDS) {
        return;
    }
    let line = Line::bridged(Offloads::On);
    let calls = "cd /proc/sys/net/bridge && echo 1 > bridge-nf-call-iptables && echo 1 > bridge-nf-call-ip6tables";
    if line.gateway.run("sh", ["-c", calls]).status != 0 {
        println!("skipped: this kernel has no br_netfilter");
        return;
    }
    is_guarded(&line, &line.gateway, "bridge");
}

#[test]
fn a_connection_that_was_let_go_is_not_queued_any_more() {
    if lacking(NEEDS) {
        return;
    }
    let line = Line::routed(Offloads::On);
    let address = line.addresses.server_v4(0).to_string();
    let _servers = serve(&line, std::slice::from_ref(&address));
    rules(&line.gateway, &["apply", "--no-queue-bypass", "--backend", "iptables-legacy"]);
    assert!(!passes(&line, &address));
    // In the place of a gate: the first packet is accepted with the mark of connections that need not be seen.
    line.gateway.shell(
        "iptables-legacy -w -t mangle -I PORTCULLIS-JUDGE 1 -p tcp --syn -m mark --mark 0x40000000 -j ACCEPT
         iptables-legacy -w -t mangle -I PORTCULLIS-JUDGE 1 -p tcp --syn -j MARK --set-mark 0x40000000",
    );
    assert!(passes(&line, &address), "{}", line.gateway.shell("iptables-legacy -w -t mangle -L -n -v"));
    // Packets of the gate's own are never queued.
    line.gateway.shell("iptables-legacy -w -t mangle -I PORTCULLIS-JUDGE 1 -p tcp -j MARK --set-mark 0x20000000");
    assert!(passes(&line, &address));
}

#[test]
fn what_cannot_be_done_is_explained() {
    let run = portcullis_tests::portcullis(["rules", "show", "--port", "0"]);
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("1 to 65535"), "{}", run.stderr);
    let many = (1..=16).map(|port| port.to_string()).collect::<Vec<_>>().join(",");
    let run = portcullis_tests::portcullis(["rules", "show", "--port", &many]);
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("at most 15"), "{}", run.stderr);
    let run = portcullis_tests::portcullis(["rules", "apply", "--backend", "pf"]);
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("nft, iptables-nft, iptables-legacy"), "{}", run.stderr);
    if lacking(&[Need::Namespaces, Need::Program("setpriv")]) {
        return;
    }
    let namespace = Namespace::new("rights");
    let program = portcullis_tests::command();
    let arguments = ["--reuid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"];
    let mut command = namespace.command("setpriv");
    command.args(arguments).arg(program.get_program()).args(["rules", "apply", "--backend", "iptables-legacy"]);
    let run = run_of(&command.output().unwrap());
    if run.stderr.contains("setpriv") {
        println!("skipped: the program lies where others may not look: {}", run.stderr.trim());
        return;
    }
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("run it as root"), "{}", run.stderr);
}
