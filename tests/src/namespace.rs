//! Networks of network namespaces, where tests may do what they must not do to the machine: send odd packets, set
//! firewall rules, run mail servers.
//!
//! Names are unique to the process and the network, so that runs beside each other do not meet; addresses are those of
//! documentation (RFC 5737) and unique local ones (RFC 4193); nothing leads outside. What runs inside is ended and the
//! namespaces go when the value is dropped, also while a test panics; what a killed run left behind, the next one removes.
//!
//! ```no_run
//! use portcullis_tests::namespace::{Line, Need, Offloads, lacking};
//!
//! if lacking(&[Need::Namespaces, Need::Queue]) {
//!     return; // it has printed what is missing
//! }
//! let line = Line::routed(Offloads::Off);
//! let run = line.client.run("ping", ["-c1", &line.addresses.server_v4(0).to_string()]);
//! assert_eq!(run.status, 0, "{}", run.stderr);
//! ```

use std::ffi::OsStr;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::Run;

/// The longest that [`Namespace::run`] waits, in seconds.
pub const RUN_SECONDS: u32 = 60;
/// How many addresses of each kind the server has, so that several servers can listen on the same port.
pub const SERVER_ADDRESSES: u8 = 4;
/// What every name begins with, followed by the number of the process that made it.
const PREFIX: &str = "pcl-";

/// What a test needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To be root, and network namespaces with veth pairs.
    Namespaces,
    /// `iptables-legacy` and `ip6tables-legacy`, and a kernel that has its tables.
    Iptables,
    /// The target NFQUEUE in `iptables-legacy`.
    Queue,
    /// Rules on connections (conntrack) in `iptables-legacy`.
    Conntrack,
    /// A program.
    Program(&'static str),
}

/// Whether something is missing here; if so it is printed, and the test has to return. What the kernel can do is found out
/// by trying, in a namespace that goes at once.
pub fn lacking(needs: &[Need]) -> bool {
    let missing = needs.iter().find_map(|need| missing(*need).map(|reason| (need, reason)));
    if let Some((need, reason)) = &missing {
        println!("skipped: {need:?} is needed, and {reason}");
    }
    missing.is_some()
}

fn missing(need: Need) -> Option<String> {
    static NAMESPACES: OnceLock<Option<String>> = OnceLock::new();
    static IPTABLES: OnceLock<Option<String>> = OnceLock::new();
    static QUEUE: OnceLock<Option<String>> = OnceLock::new();
    static CONNTRACK: OnceLock<Option<String>> = OnceLock::new();
    let cached = match need {
        Need::Program(name) => return (!has_program(name)).then(|| format!("there is no program {name}")),
        Need::Namespaces => NAMESPACES.get_or_init(|| {
            if !has_program("ip") {
                return Some("there is no program ip (package iproute2)".to_owned());
            }
            attempt("ip link set lo up && ip link add a0 type veth peer name b0 && ip link set a0 up")
        }),
        Need::Iptables => IPTABLES.get_or_init(|| attempt("iptables-legacy -w -L -n && ip6tables-legacy -w -L -n")),
        Need::Queue => QUEUE.get_or_init(|| {
            let rule = "-w -A FORWARD -p tcp --dport 25 -j NFQUEUE --queue-num 0 --queue-bypass";
            attempt(&format!("iptables-legacy {rule} && ip6tables-legacy {rule}"))
        }),
        Need::Conntrack => CONNTRACK.get_or_init(|| {
            let rule = "-w -A FORWARD -m conntrack --ctstate INVALID -j DROP";
            attempt(&format!("iptables-legacy {rule} && ip6tables-legacy {rule}"))
        }),
    };
    cached.clone()
}

/// Whether a program of this name is on the path.
pub fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// What a shell says against a script in a namespace of its own; nothing if it works.
fn attempt(script: &str) -> Option<String> {
    let namespace = match Namespace::create("try") {
        Ok(namespace) => namespace,
        Err(reason) => return Some(reason),
    };
    let run = namespace.run("sh", ["-c", script]);
    (run.status != 0).then(|| format!("`{script}` fails: {}", run.stderr.trim()))
}

/// A network namespace. Everything that runs inside is killed when it is dropped, and then it is removed.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace with its loopback up; the role becomes part of its name.
    ///
    /// # Panics
    ///
    /// If it cannot be made: ask [`lacking`] before.
    pub fn new(role: &str) -> Self {
        Self::create(role).unwrap_or_else(|reason| panic!("no namespace: {reason}"))
    }

    fn create(role: &str) -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        static SWEPT: OnceLock<()> = OnceLock::new();
        SWEPT.get_or_init(sweep);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let namespace = Self { name: format!("{PREFIX}{}-{number}-{role}", std::process::id()) };
        let output = Command::new("ip").args(["netns", "add", &namespace.name]).stdin(Stdio::null()).output();
        let made = match output {
            Ok(output) if output.status.success() => {
                Command::new("ip").args(["-n", &namespace.name, "link", "set", "lo", "up"]).output()
            }
            other => other,
        };
        match made {
            Ok(output) if output.status.success() => Ok(namespace),
            Ok(output) => Err(format!(
                "network namespaces cannot be made: {}",
                String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")
            )),
            Err(error) => Err(format!("`ip` cannot be started: {error}")),
        }
    }

    /// Its name, as `ip netns exec` takes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run inside. It replaces `ip netns exec`, so its process is the program's.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program).stdin(Stdio::null());
        command
    }

    /// Runs a program inside to its end, for [`RUN_SECONDS`] at most: then it is killed and its status is 124.
    pub fn run<S: AsRef<OsStr>>(&self, program: &str, arguments: impl IntoIterator<Item = S>) -> Run {
        self.run_for(RUN_SECONDS, program, arguments)
    }

    /// Runs a program inside to its end, for so many seconds at most: then it is killed and its status is 124.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn run_for<S: AsRef<OsStr>>(
        &self,
        seconds: u32,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = S>,
    ) -> Run {
        let mut command = self.command("timeout");
        command.args(["-k", "1", &seconds.to_string()]).arg(program).args(arguments);
        run_of(&command.output().unwrap_or_else(|error| panic!("{}: {error}", self.name)))
    }

    /// Runs shell commands inside, each of which has to succeed.
    ///
    /// # Panics
    ///
    /// If one fails.
    pub fn shell(&self, script: &str) -> String {
        let run = self.run("sh", ["-ec", script]);
        assert_eq!(run.status, 0, "in {}: {script}\n{}{}", self.name, run.stdout, run.stderr);
        run.stdout
    }

    /// Starts a program inside that runs beside the test. What it writes goes to the file, or nowhere.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn spawn<S: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = S>,
        log: Option<&Path>,
    ) -> Process {
        let mut command = self.command(program);
        command.args(arguments);
        Process::start(command, log)
    }

    /// The numbers of the processes inside.
    pub fn processes(&self) -> Vec<u32> {
        processes(&self.name)
    }

    /// Waits until the processes inside listen on a TCP port, for so long at most.
    pub fn listens(&self, port: u16, limit: Duration) -> bool {
        // Columns of /proc/net/tcp: number, local address:port in hexadecimal, remote, state (0A is LISTEN).
        let wanted = format!(":{port:04X}");
        until(limit, || {
            self.run_for(5, "cat", ["/proc/net/tcp", "/proc/net/tcp6"]).stdout.lines().any(|line| {
                let mut columns = line.split_ascii_whitespace();
                columns.nth(1).is_some_and(|local| local.ends_with(&wanted)) && columns.nth(1) == Some("0A")
            })
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// A process inside a namespace, killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a command of [`Namespace::command`]. What it writes goes to the file, or nowhere.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn start(mut command: Command, log: Option<&Path>) -> Self {
        let sink = || {
            log.map_or_else(Stdio::null, |path| {
                let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
                file.unwrap_or_else(|error| panic!("{}: {error}", path.display())).into()
            })
        };
        command.stdin(Stdio::null()).stdout(sink()).stderr(sink());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, by the name that `kill` knows: `TERM`, `STOP`, `CONT`, `KILL`.
    pub fn signal(&self, name: &str) {
        let _ = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).output();
    }

    /// Its exit status, if it ends in time.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let mut status = None;
        until(limit, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        });
        status
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the interfaces may leave segmentation and checksums to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offloads {
    /// One packet is one packet, with right checksums: what captures need.
    Off,
    /// As the kernel has it: one "packet" can be 64 KiB long, with checksums that are computed later.
    On,
}

/// Who has which address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The client's.
    pub client_v4: Ipv4Addr,
    /// The client's.
    pub client_v6: Ipv6Addr,
    server_v4: Ipv4Addr,
    server_v6: Ipv6Addr,
}

impl Addresses {
    const ROUTED: Self = Self {
        client_v4: Ipv4Addr::new(192, 0, 2, 10),
        client_v6: Ipv6Addr::new(0xfd00, 0xc, 0, 0, 0, 0, 0, 0x10),
        server_v4: Ipv4Addr::new(198, 51, 100, 10),
        server_v6: Ipv6Addr::new(0xfd00, 0x5, 0, 0, 0, 0, 0, 0x10),
    };
    const ONE_LINK: Self = Self {
        server_v4: Ipv4Addr::new(192, 0, 2, 20),
        server_v6: Ipv6Addr::new(0xfd00, 0xc, 0, 0, 0, 0, 0, 0x20),
        ..Self::ROUTED
    };

    /// An address of the server; `index` is below [`SERVER_ADDRESSES`].
    pub fn server_v4(&self, index: u8) -> Ipv4Addr {
        let [a, b, c, d] = self.server_v4.octets();
        Ipv4Addr::new(a, b, c, d + index)
    }

    /// An address of the server; `index` is below [`SERVER_ADDRESSES`].
    pub fn server_v6(&self, index: u8) -> Ipv6Addr {
        Ipv6Addr::from(u128::from(self.server_v6) + u128::from(index))
    }
}

/// A client (interface `c0`) and a server (`s0`) with a gateway (`g0` to the client, `g1` to the server) between them.
#[derive(Debug)]
pub struct Line {
    /// Where clients run.
    pub client: Namespace,
    /// What all packets pass.
    pub gateway: Namespace,
    /// Where servers run.
    pub server: Namespace,
    /// Who has which address.
    pub addresses: Addresses,
}

impl Line {
    /// The gateway is a router: it forwards, and the client and the server are in networks of their own.
    ///
    /// # Panics
    ///
    /// If it cannot be made: ask [`lacking`] before.
    pub fn routed(offloads: Offloads) -> Self {
        let line = Self::new(Addresses::ROUTED, offloads);
        line.gateway.shell(
            "ip addr add 192.0.2.1/24 dev g0; ip -6 addr add fd00:c::1/64 dev g0 nodad
             ip addr add 198.51.100.1/24 dev g1; ip -6 addr add fd00:5::1/64 dev g1 nodad
             echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
        );
        line.client.shell("ip route add default via 192.0.2.1; ip -6 route add default via fd00:c::1");
        line.server.shell("ip route add default via 198.51.100.1; ip -6 route add default via fd00:5::1");
        line
    }

    /// The gateway is a bridge (`br0`): it has no address, and the client and the server are in one network.
    ///
    /// # Panics
    ///
    /// If it cannot be made: ask [`lacking`] before.
    pub fn bridged(offloads: Offloads) -> Self {
        let line = Self::new(Addresses::ONE_LINK, offloads);
        line.gateway.shell(
            "ip link add br0 type bridge stp_state 0 forward_delay 0
             ip link set g0 master br0; ip link set g1 master br0; ip link set br0 up",
        );
        line
    }

    fn new(addresses: Addresses, offloads: Offloads) -> Self {
        let line = Self {
            client: Namespace::new("client"),
            gateway: Namespace::new("gateway"),
            server: Namespace::new("server"),
            addresses,
        };
        join(&line.client, "c0", &line.gateway, "g0");
        join(&line.server, "s0", &line.gateway, "g1");
        line.client.shell(&addresses_of_client(&addresses, "c0"));
        line.server.shell(&addresses_of_server(&addresses, "s0"));
        if offloads == Offloads::Off {
            without_offloads(&line.client, &["c0"]);
            without_offloads(&line.gateway, &["g0", "g1"]);
            without_offloads(&line.server, &["s0"]);
        }
        line
    }
}

/// A client (interface `c0`) and a server (`s0`) with nothing between them.
#[derive(Debug)]
pub struct Pair {
    /// Where clients run.
    pub client: Namespace,
    /// Where servers run.
    pub server: Namespace,
    /// Who has which address.
    pub addresses: Addresses,
}

impl Pair {
    /// Makes the two.
    ///
    /// # Panics
    ///
    /// If they cannot be made: ask [`lacking`] before.
    pub fn new(offloads: Offloads) -> Self {
        let addresses = Addresses::ONE_LINK;
        let pair = Self { client: Namespace::new("client"), server: Namespace::new("server"), addresses };
        join(&pair.client, "c0", &pair.server, "s0");
        pair.client.shell(&addresses_of_client(&addresses, "c0"));
        pair.server.shell(&addresses_of_server(&addresses, "s0"));
        if offloads == Offloads::Off {
            without_offloads(&pair.client, &["c0"]);
            without_offloads(&pair.server, &["s0"]);
        }
        pair
    }
}

/// Joins two namespaces by a veth pair, both ends up.
///
/// # Panics
///
/// If it fails.
pub fn join(one: &Namespace, interface: &str, other: &Namespace, other_interface: &str) {
    one.shell(&format!("ip link add {interface} type veth peer name {other_interface} netns {}", other.name));
    // Without this the kernel asks for routers and neighbours that are not there, between the packets of the test.
    for (namespace, interface) in [(one, interface), (other, other_interface)] {
        namespace.shell(&format!(
            "for name in accept_ra accept_dad router_solicitations; do
                 [ ! -e /proc/sys/net/ipv6/conf/{interface}/$name ] || echo 0 > /proc/sys/net/ipv6/conf/{interface}/$name
             done
             ip link set {interface} up"
        ));
    }
}

fn addresses_of_client(addresses: &Addresses, interface: &str) -> String {
    format!(
        "ip addr add {}/24 dev {interface}; ip -6 addr add {}/64 dev {interface} nodad",
        addresses.client_v4, addresses.client_v6
    )
}

fn addresses_of_server(addresses: &Addresses, interface: &str) -> String {
    (0..SERVER_ADDRESSES)
        .map(|index| {
            format!(
                "ip addr add {}/24 dev {interface}; ip -6 addr add {}/64 dev {interface} nodad\n",
                addresses.server_v4(index),
                addresses.server_v6(index)
            )
        })
        .collect()
}

fn without_offloads(namespace: &Namespace, interfaces: &[&str]) {
    assert!(has_program("ethtool"), "there is no ethtool: ask for Need::Program(\"ethtool\") before");
    for interface in interfaces {
        namespace.shell(&format!("ethtool -K {interface} tso off gso off gro off tx off rx off sg off > /dev/null"));
    }
}

/// Waits until something is so, for so long at most; whether it is.
pub fn until(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Makes a [`Run`] of what a process left.
pub fn run_of(output: &Output) -> Run {
    Run {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn processes(name: &str) -> Vec<u32> {
    let output = Command::new("ip").args(["netns", "pids", name]).output();
    let listed = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    listed.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

fn remove(name: &str) {
    // Servers fork: what is born while the others are killed is found in the next round.
    until(Duration::from_secs(3), || {
        let inside = processes(name);
        for id in &inside {
            let _ = Command::new("kill").args(["-KILL", &id.to_string()]).stderr(Stdio::null()).status();
        }
        inside.is_empty()
    });
    let _ = Command::new("ip").args(["netns", "del", name]).stderr(Stdio::null()).status();
    let _ = std::fs::remove_dir_all(settings_folder(name));
}

/// The folder whose files `ip netns exec` lays over those of the same name in /etc.
pub(crate) fn settings_folder(name: &str) -> PathBuf {
    Path::new("/etc/netns").join(name)
}

/// Removes what runs left behind that were killed.
fn sweep() {
    let Ok(output) = Command::new("ip").args(["netns", "list"]).output() else { return };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let name = line.split_ascii_whitespace().next().unwrap_or_default();
        let owner =
            name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()).and_then(|id| id.parse::<u32>().ok());
        if owner.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
            remove(name);
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}
