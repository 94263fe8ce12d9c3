//! The probes of `../shared/lab/haka-probes` whose defect lies above or below what `probes.rs` reads, by name.
//!
//! There is no grammar of HTTP yet: what is judged of its probes is that both sides' octets are put together whole, in
//! order and without an anomaly, to the end of the connection. The octets were read from the captures by tshark.

use portcullis_tests::grammars::shipped;
use portcullis_tests::shared;
use portcullis_tests::streams::{Conversation, ours};

/// Probes of HTTP: what the client and the server say.
#[rustfmt::skip]
const HTTP: [(&str, &[u8], &[u8]); 19] = [
    ("net_http_09", b"GET /a\r\n", b"hello"), // a request of one line
    ("net_http_100", b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), // an answer before the answer
    ("net_http_304", b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), // a length without a body
    ("net_http_bad_cl", b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: zz\r\n\r\nhello"), // a length that is no number
    ("net_http_chunkext", b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n"), // chunks with extensions
    ("net_http_cl_te", b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), // both lengths, chunks first
    ("net_http_close_delim", b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<html>more</html>"), // a body that ends with the connection
    ("net_http_emptyreason", b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello"), // a status without a reason
    ("net_http_emptyval", b"GET /a HTTP/1.1\r\nHost: h\r\nX-A: \r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), // a field without a value
    ("net_http_folded", b"GET /a HTTP/1.1\r\nHost: h\r\nX-A: a\r\n b\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), // a field over two lines
    ("net_http_head", b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), // the length of a body that does not come
    ("net_http_neg_cl", b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"), // a length below zero
    ("net_http_nospace", b"GET /a HTTP/1.1\r\nHost:h\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), // no blank after the colon
    ("net_http_ok", b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), // two requests one after the other
    ("net_http_pipeline", b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), // two requests at once
    ("net_http_te_cl", b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), // both lengths, the number first
    ("net_http_te_gzip_chunked", b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), // two codings
    ("net_http_upgrade", b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello"), // another protocol behind the answer
    ("net_http_utf8uri", b"GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), // octets above 127 in the request
];

/// Every probe, and the file that says what has to hold about it.
const TESTS: [&str; 3] = [
    include_str!("probes.rs"),
    include_str!("probes_of_streams.rs"),
    include_str!("../../crates/stream/tests/haka_probes.rs"),
];

fn conversations(name: &str) -> Option<Vec<Conversation>> {
    let path = shared()?.join("lab/haka-probes").join(format!("{name}.pcap"));
    assert!(path.exists(), "{} is not there", path.display());
    Some(ours(&shipped(), &path))
}

/// The only connection of a probe, which must have ended as connections do.
fn conversation(name: &str) -> Option<Conversation> {
    let mut conversations = conversations(name)?;
    assert_eq!(conversations.len(), 1, "{name}: connections");
    let conversation = conversations.remove(0);
    assert_eq!((&conversation.anomalies[..], conversation.ended), (&[][..], "fin"), "{name}");
    Some(conversation)
}

#[test]
fn streams_of_http_are_put_together_whole() {
    for (name, up, down) in HTTP {
        let Some(conversation) = conversation(name) else { return };
        assert_eq!(
            conversation.said[0].escape_ascii().to_string(),
            up.escape_ascii().to_string(),
            "{name}: the client"
        );
        assert_eq!(
            conversation.said[1].escape_ascii().to_string(),
            down.escape_ascii().to_string(),
            "{name}: the server"
        );
    }
}

#[test]
fn an_address_of_six_thousand_letters_is_no_bound() {
    let Some(conversation) = conversation("net_http_long_uri_alert") else { return };
    let request = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "A".repeat(6_000));
    assert_eq!(conversation.said[0], request.as_bytes());
    assert_eq!(conversation.said[1], b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
}

#[test]
fn tags_of_vlans_hide_nothing() {
    for (name, said) in [("net_vlan", b"hello vlan"), ("net_qinq", b"hello qinq")] {
        let Some(conversation) = conversation(name) else { return };
        assert_eq!(conversation.said, [said.to_vec(), vec![]], "{name}");
    }
}

#[test]
fn a_header_with_a_length_that_is_a_lie_brings_nothing() {
    // Below the least, and past the end of the packet: every receiver drops both. The server acknowledges all the same, so
    // that the octets count as lost by the capture.
    for (name, missing) in [("net_tcp_doff3", 4), ("net_tcp_doff15", 2)] {
        let Some(conversations) = conversations(name) else { return };
        let text = format!("[{missing} bytes missing in capture file]\0x");
        assert_eq!(
            conversations[0].said[0].escape_ascii().to_string(),
            text.as_bytes().escape_ascii().to_string(),
            "{name}"
        );
    }
}

#[test]
fn congestion_flags_on_a_syn_are_a_syn() {
    let Some(conversation) = conversation("net_tcp_ecn_syn") else { return };
    assert_eq!(conversation.said[0], b"x");
}

#[test]
fn every_probe_has_a_test() {
    let Some(shared) = shared() else { return };
    let mut probes = 0;
    for entry in std::fs::read_dir(shared.join("lab/haka-probes")).expect("the probes") {
        let path = entry.expect("a probe").path();
        if path.extension().is_none_or(|extension| extension != "pcap") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let named = |text: &&str| text.contains(&format!("\"{name}\"")) || text.contains(&format!("\"{name}.pcap\""));
        assert!(TESTS.iter().any(named), "{name} is in no test");
        probes += 1;
    }
    println!("{probes} probes");
    assert!(probes >= 60, "only {probes} probes");
}
