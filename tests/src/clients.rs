//! What clients say: mails that are uploaded, and conversations octet by octet.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::mail::Host;

/// A mail with so many lines, of which every seventh begins with a dot, and its body as a server stores it: lines end with LF.
pub fn dotted_mail(lines: usize) -> (String, String) {
    let mut text = String::new();
    for number in 0..lines {
        let dots = if number % 7 == 0 { "." } else { "" };
        let _ = writeln!(text, "{dots}line {number} {:x} of a body that is to come through unharmed", number * 7919);
    }
    let head = "From: alice@outside.test\nTo: bob@inside.test\nSubject: through\n\n";
    ((head.to_owned() + &text).replace('\n', "\r\n"), text)
}

impl Host<'_> {
    /// Sends a mail from Alice to Bob with curl, which takes more options.
    ///
    /// # Panics
    ///
    /// If the server does not take it within 50 seconds.
    pub fn send(&self, server: IpAddr, mail: &str, options: &[&str]) {
        let file = self.write("mail.eml", mail).display().to_string();
        let url = match server {
            IpAddr::V4(address) => format!("smtp://{address}"),
            IpAddr::V6(address) => format!("smtp://[{address}]"),
        };
        let mut arguments = vec!["-sSv", "--max-time", "50", "--url", &url, "--upload-file", &file];
        arguments.extend(["--mail-from", "alice@outside.test", "--mail-rcpt", "bob@inside.test"]);
        arguments.extend(options);
        let run = self.run("curl", arguments);
        assert_eq!(run.status, 0, "{}", run.stderr);
    }

    /// Runs a Python script with a connection to a server's port 25, and returns what it prints.
    ///
    /// The script has `s`, the socket, which never waits longer than 8 seconds; `f`, a reader of lines; `say(octets)`, `slowly(octets)`,
    /// which sends each octet by itself; `wait(n)`, which prints the next n lines of the server; `reply()`, which prints the next whole
    /// reply; `hello()`, which waits for the greeting, says EHLO and prints the answer.
    pub fn talk(&self, server: IpAddr, script: &str) -> String {
        let program = format!(
            r#"
import socket, sys, time
s = socket.create_connection(("{server}", 25)); s.settimeout(8)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
f = s.makefile("rb")
def answer():
    try: line = f.readline()
    except Exception as e: line = b"! " + type(e).__name__.encode()
    sys.stdout.write(line.decode("latin-1") if line else "(closed)\n")
    return line
def wait(n=1):
    for _ in range(n): answer()
def reply():
    while answer()[3:4] == b"-": pass
def say(octets):
    try: s.sendall(octets)
    except Exception as e: print("! send", type(e).__name__)
def slowly(octets):
    for octet in octets: say(bytes([octet])); time.sleep(0.0005)
def hello(say=say): wait(); say(b"EHLO client.outside.test\r\n"); reply()
{script}
"#
        );
        let run = self.run("python3", ["-c", &program]);
        format!("{}{}", run.stdout, run.stderr)
    }
}
