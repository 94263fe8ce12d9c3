//! The mail servers that other tests use, with nothing but a router between them and the clients: what is wrong here is
//! not the gate's fault.

use std::net::IpAddr;

use portcullis_tests::clients::dotted_mail;
use portcullis_tests::mail::{Host, PASSWORD, Programs, USER, body};
use portcullis_tests::namespace::{Line, Need, Offloads, lacking};

/// Servers inside, clients outside; none where something is missing.
fn with_hosts(test: impl FnOnce(&Line, &Host<'_>, &Host<'_>)) {
    if lacking(&[Need::Namespaces, Need::Program("ethtool"), Need::Program("curl"), Need::Program("bash")]) {
        return;
    }
    let Some(programs) = Programs::fetch() else { return };
    let line = Line::routed(Offloads::Off);
    let inside = Host::new(&programs, &line.server, &line.addresses);
    let outside = Host::new(&programs, &line.client, &line.addresses);
    test(&line, &inside, &outside);
}

/// Of a mail of a megabyte.
const LINES: usize = 16_000;

#[test]
fn postfix_and_exim_deliver_what_was_sent() {
    with_hosts(|line, inside, outside| {
        let (mail, text) = dotted_mail(LINES);
        let postfix = inside.postfix(line.addresses.server_v4(0).into(), &[]);
        let exim = inside.exim(line.addresses.server_v4(1).into(), &[]);
        for (server, index) in [(&postfix, 0), (&exim, 1)] {
            let address = line.addresses.server_v4(index).into();
            outside.send(address, &mail, &[]);
            outside.send(address, &mail, &["--insecure", "--ssl-reqd", "--user", &format!("{USER}:{PASSWORD}")]);
            let mails = server.wait_for_mails(2);
            assert_eq!(mails.len(), 2, "{}", server.log());
            for mail in mails {
                assert!(body(&mail) == text.as_bytes(), "a body was changed on its way");
            }
        }
        assert!(postfix.log().contains("sasl_username=alice"), "{}", postfix.log());
        assert!(exim.log().contains("A=plain:alice"), "{}", exim.log());
    });
}

#[test]
fn postfix_speaks_ipv6() {
    with_hosts(|line, inside, outside| {
        let (mail, text) = dotted_mail(LINES);
        let postfix = inside.postfix(line.addresses.server_v6(0).into(), &[]);
        outside.send(line.addresses.server_v6(0).into(), &mail, &[]);
        let mails = postfix.wait_for_mails(1);
        assert_eq!(mails.len(), 1, "{}", postfix.log());
        assert!(mails.iter().all(|mail| body(mail) == text.as_bytes()));
    });
}

#[test]
fn a_client_postfix_relays_and_bounces() {
    with_hosts(|line, inside, outside| {
        let (mail, text) = dotted_mail(LINES);
        let server = inside.postfix(line.addresses.server_v4(0).into(), &[]);
        let client = outside.postfix_client(line.addresses.server_v4(0).into(), &[]);
        outside.send(IpAddr::from([127, 0, 0, 1]), &mail, &[]);
        let mails = server.wait_for_mails(1);
        assert_eq!(mails.len(), 1, "{}\n{}", client.log(), server.log());
        assert!(mails.iter().all(|mail| body(mail) == text.as_bytes()));
        assert!(client.logs("status=sent (250 2.0.0 Ok"), "{}", client.log());
        // What the server refuses for good comes back with the server's words.
        outside.send(IpAddr::from([127, 0, 0, 1]), &mail, &["--mail-rcpt", "eve@elsewhere.test"]);
        let bounces = client.wait_for_mails(1);
        assert_eq!(bounces.len(), 1, "{}", client.log());
        let bounce = String::from_utf8_lossy(bounces.first().unwrap()).into_owned();
        assert!(bounce.contains("Relay access denied"), "{bounce}");
    });
}

#[test]
fn swaks_source_and_sink_work() {
    with_hosts(|line, inside, outside| {
        let address = line.addresses.server_v4(2);
        let _sink = inside.sink(address.into(), &[]);
        let place = format!("inet:{address}:25");
        let run = outside.run("smtp-source", ["-s", "4", "-m", "40", "-l", "20000", "-t", "bob@inside.test", &place]);
        assert_eq!(run.status, 0, "{}", run.stderr);
        let arguments = ["--to", "bob@inside.test", "--from", "a@outside.test", "--helo", "client.outside.test"];
        let run = outside.run("swaks", ["--server", &address.to_string()].into_iter().chain(arguments));
        assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
        let exim = inside.exim(line.addresses.server_v4(1).into(), &[]);
        let exim_address = line.addresses.server_v4(1).to_string();
        let secure = ["--server", &exim_address, "-tls", "--auth", "LOGIN", "-au", USER, "-ap", PASSWORD];
        let run = outside.run("swaks", secure.into_iter().chain(arguments));
        assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
        assert_eq!(exim.wait_for_mails(1).len(), 1, "{}", exim.log());
    });
}
