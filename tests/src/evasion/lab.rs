//! Two network namespaces with a cable between them: in one the receiver, in the other nothing but the end of the cable.

use std::path::Path;
use std::process::{Command, Stdio};

/// The interface of the client.
pub const INTERFACE: &str = "client0";
/// The addresses of the ends of the cable.
pub const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The address of the server's end.
pub const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Names nobody, in both versions (RFC 5737, RFC 4193).
pub const CLIENT_IPV4: [u8; 4] = [192, 0, 2, 1];
/// The server.
pub const SERVER_IPV4: [u8; 4] = [192, 0, 2, 2];
/// The client with IPv6.
pub const CLIENT_IPV6: [u16; 8] = [0xfd00, 0, 0, 0, 0, 0, 0, 1];
/// The server with IPv6.
pub const SERVER_IPV6: [u16; 8] = [0xfd00, 0, 0, 0, 0, 0, 0, 2];

/// The namespaces, which go when this is dropped.
#[derive(Debug)]
pub struct Lab {
    /// The name of the client's namespace.
    pub client: String,
    /// The name of the server's namespace.
    pub server: String,
}

/// Runs `ip`; what it complained about otherwise.
fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split_whitespace()).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot run ip: {error}; install iproute2"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Switches IPv6 off in a namespace.
fn quieten(namespace: &str) -> Result<(), String> {
    let script = "for f in all default; do echo 1 > /proc/sys/net/ipv6/conf/$f/disable_ipv6; done";
    let output = Command::new("ip").args(["netns", "exec", namespace, "sh", "-c", script]).output();
    let output = output.map_err(|error| format!("cannot run ip: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("cannot switch IPv6 off: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

impl Lab {
    /// Lays the cable, or says what this machine has not.
    pub fn new() -> Result<Lab, String> {
        let process = std::process::id();
        let lab = Lab { client: format!("evasion-{process}-c"), server: format!("evasion-{process}-s") };
        let (client, server) = (&lab.client, &lab.server);
        ip(&format!("netns add {client}"))?;
        ip(&format!("netns add {server}"))?;
        let mac = |mac: [u8; 6]| mac.map(|octet| format!("{octet:02x}")).join(":");
        let (client_mac, server_mac) = (mac(CLIENT_MAC), mac(SERVER_MAC));
        // Before there is an interface, so that it never says anything by itself.
        quieten(client)?;
        ip(&format!(
            "-n {client} link add {INTERFACE} address {client_mac} type veth peer name server0 address {server_mac} netns {server}"
        ))?;
        let address = |octets: [u8; 4]| std::net::Ipv4Addr::from(octets).to_string();
        let address_6 = |words: [u16; 8]| std::net::Ipv6Addr::from(words).to_string();
        ip(&format!("-n {server} link set lo up"))?;
        ip(&format!("-n {server} address add {}/24 dev server0", address(SERVER_IPV4)))?;
        ip(&format!("-n {server} address add {}/64 dev server0 nodad", address_6(SERVER_IPV6)))?;
        ip(&format!("-n {server} link set server0 up"))?;
        ip(&format!("-n {client} link set {INTERFACE} up"))?;
        for client in [address(CLIENT_IPV4), address_6(CLIENT_IPV6)] {
            ip(&format!("-n {server} neighbour replace {client} lladdr {client_mac} nud permanent dev server0"))?;
        }
        Ok(lab)
    }

    /// A command within a namespace.
    pub fn command(namespace: &str, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(program);
        command
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in [&self.client, &self.server] {
            // Nothing can be done about it, and nothing has to be: a name that is left is never used again.
            let _ = ip(&format!("netns delete {name}"));
        }
    }
}
