//! What comes to a host's interface and leaves it, packet by packet, as its kernel sees it.
#![expect(clippy::expect_used, reason = "a test that sees nothing is over")]

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::namespace::{Namespace, Process, until};

/// Writes each TCP segment of port 25 that has octets as a line of JSON.
const SNIFFER: &str = r#"
import json, socket, struct, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
s.bind((sys.argv[1], 0))
out = open(sys.argv[2], "w", buffering=1)
out.write("{}\n")
while True:
    frame, _ = s.recvfrom(70000)
    if frame[12:14] != b"\x08\x00" or frame[23] != 6: continue
    ip = frame[14:14 + struct.unpack(">H", frame[16:18])[0]]
    tcp = ip[(ip[0] & 15) * 4:]
    source, destination, sequence = struct.unpack(">HHI", tcp[:8])
    payload = tcp[(tcp[12] >> 4) * 4:]
    if 25 in (source, destination) and payload:
        to_server = destination == 25
        port = source if to_server else destination
        out.write(json.dumps({"port": port, "up": to_server, "sequence": sequence, "time": time.time(), "payload": payload.hex()}) + "\n")
"#;

/// A segment with octets.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The port of the client.
    pub port: u16,
    /// Whether it goes to the server.
    pub up: bool,
    /// Its sequence number.
    pub sequence: u32,
    /// When it came or left, in seconds since 1970.
    pub time: f64,
    /// Its octets.
    pub payload: Vec<u8>,
}

/// Somebody who looks at an interface; ends with the value.
#[derive(Debug)]
pub struct Sniffer {
    folder: tempfile::TempDir,
    _process: Process,
}

impl Sniffer {
    /// Begins to look at the IPv4 packets of an interface.
    ///
    /// # Panics
    ///
    /// If it cannot be done.
    pub fn start(namespace: &Namespace, interface: &str) -> Sniffer {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("seen").display().to_string();
        let process = namespace.spawn("python3", ["-c", SNIFFER, interface, &file], Some(&folder.path().join("log")));
        let sniffer = Sniffer { folder, _process: process };
        let begun = until(Duration::from_secs(10), || {
            std::fs::read_to_string(sniffer.path()).is_ok_and(|text| text.contains("{}"))
        });
        assert!(begun, "{}", std::fs::read_to_string(sniffer.folder.path().join("log")).unwrap_or_default());
        sniffer
    }

    /// The segments so far, in the order in which they came and left.
    ///
    /// # Panics
    ///
    /// If they cannot be read.
    pub fn seen(&self) -> Vec<Seen> {
        std::thread::sleep(Duration::from_millis(300));
        let text = std::fs::read_to_string(self.path()).expect("what was seen");
        let lines = text.lines().skip(1).filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|line| seen(&line)).collect()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("seen")
    }
}

fn seen(line: &Value) -> Option<Seen> {
    let hex = line.get("payload")?.as_str()?;
    let octets = (0..hex.len() / 2).map(|at| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok());
    Some(Seen {
        port: u16::try_from(line.get("port")?.as_u64()?).ok()?,
        up: line.get("up")?.as_bool()?,
        sequence: u32::try_from(line.get("sequence")?.as_u64()?).ok()?,
        time: line.get("time")?.as_f64()?,
        payload: octets.collect::<Option<_>>()?,
    })
}
