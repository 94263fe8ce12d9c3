//! The sandbox, entered for real: each case runs in a process of its own, which this program starts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

#[path = "support/namespace.rs"]
mod namespace;

use std::fs;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use caps::{CapSet, Capability};
use namespace::{enter, run, try_run};
use portcullis_capture::queue::{self, Backend, Disposition, QueueSettings, Received};
use portcullis_capture::sandbox::{self, Identity, Outcome, SandboxError, SandboxSettings};
use portcullis_capture::{Captured, Injector, LiveError, LiveInterface, LiveSettings};
use portcullis_wire::UdpPacket;

/// A case: what it shows, and what it does in a directory of its own.
type Case = (&'static str, fn(&Path));

const CASES: &[Case] = &[
    ("verdicts_and_injection_work_and_nothing_else", verdicts_and_injection_work_and_nothing_else),
    ("an_interface_is_captured_from_and_its_end_told", an_interface_is_captured_from_and_its_end_told),
    ("files_are_restricted_by_landlock_alone", files_are_restricted_by_landlock_alone),
    ("calls_are_restricted_by_seccomp_alone", calls_are_restricted_by_seccomp_alone),
    ("unix_sockets_are_allowed_where_asked_for", unix_sockets_are_allowed_where_asked_for),
    ("threads_and_paths_that_cannot_be_are_told", threads_and_paths_that_cannot_be_are_told),
    ("paths_that_the_user_may_not_use_are_told", paths_that_the_user_may_not_use_are_told),
    ("without_the_capability_it_says_so", without_the_capability_it_says_so),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if let (Some("--case"), Some(name), Some(directory)) =
        (arguments.next().as_deref(), arguments.next(), arguments.next())
    {
        let (_, case) = CASES.iter().find(|(known, _)| *known == name).unwrap();
        case(Path::new(&directory));
        return ExitCode::SUCCESS;
    }
    let filters: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if fs::read("/etc/shadow").is_err() {
        println!("skipped: this is not root, who alone can give something up");
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, _) in
        CASES.iter().filter(|(name, _)| filters.is_empty() || filters.iter().any(|part| name.contains(part)))
    {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        let mut process = Command::new(std::env::current_exe().unwrap());
        process.args(["--case", name]).arg(directory.path());
        let output = process.output().unwrap();
        let result = if output.status.success() { "ok" } else { "FAILED" };
        println!("test {name} ... {result}");
        if !output.status.success() {
            failed += 1;
            println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            println!("{}", output.status);
        } else if output.stdout.starts_with(b"skipped") {
            print!("{}", String::from_utf8_lossy(&output.stdout));
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A directory as that of a gate: `read/policy`, `write`, `hidden`, all of which everybody may use as far as the system is
/// concerned.
fn prepare(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    for name in ["read", "write"] {
        fs::create_dir(directory.join(name)).unwrap();
        open(&directory.join(name));
    }
    for name in ["read/policy", "hidden"] {
        fs::write(directory.join(name), name).unwrap();
        open(&directory.join(name));
    }
    open(directory);
}

fn settings(directory: &Path) -> SandboxSettings {
    SandboxSettings {
        read: vec![directory.join("read")],
        write: vec![directory.join("write")],
        ..SandboxSettings::default()
    }
}

fn denied<T>(result: std::io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

fn verdicts_and_injection_work_and_nothing_else(directory: &Path) {
    let rule = "iptables-legacy -A OUTPUT -p udp --dport 2500 -m mark ! --mark 9 -j NFQUEUE --queue-balance 7:8";
    if let Err(reason) = enter().and_then(|()| try_run("iptables-legacy -L OUTPUT")) {
        println!("skipped: {reason}");
        return;
    }
    let open = |number, backend| queue::open(&QueueSettings { backend, ..QueueSettings::new(number) }).unwrap();
    let queues = [open(7, Backend::Netlink), open(8, Backend::Nfq)];
    if let Err(reason) = try_run(rule) {
        println!("skipped: {reason}");
        return;
    }
    let receiver = UdpSocket::bind("127.0.0.1:2500").unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // Each goes to one of the queues, as its addresses say.
    let senders: Vec<UdpSocket> = (1..=20).map(|host| UdpSocket::bind(format!("127.0.0.{host}:0")).unwrap()).collect();
    let mut injector = Injector::open(9).unwrap();
    let listener = UnixListener::bind(directory.join("control")).unwrap();
    // The service manager's, by path and by abstract name.
    let path = SocketAddr::from_pathname(directory.join("notify")).unwrap();
    let name = SocketAddr::from_abstract_name(directory.as_os_str().as_encoded_bytes()).unwrap();
    let managers = [path, name].map(|address| {
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let client = UnixDatagram::unbound().unwrap();
        client.connect_addr(&address).unwrap();
        (manager, client)
    });

    let report = sandbox::enter(&settings(directory)).unwrap();
    println!("{:#?}", report.lines());
    for (manager, client) in &managers {
        client.send(b"READY=1").unwrap();
        assert_eq!(manager.recv(&mut [0; 100]).unwrap(), 7);
    }
    assert_eq!(report.warnings, Vec::<String>::new());
    assert_ne!(report.calls, Outcome::Off);

    // Threads can be started, and each queue works in one of them.
    let workers: Vec<_> = queues
        .into_iter()
        .map(|mut queue| {
            let waker = queue.waker();
            let worker = thread::spawn(move || {
                loop {
                    let deadline = Some(Instant::now() + Duration::from_secs(20));
                    let id = match queue.receive(deadline).unwrap() {
                        Received::Packet(packet) => packet.id,
                        Received::Woken => return (queue.statistics(), queue.kernel_counters()),
                        Received::Deadline => panic!("nobody wakes us"),
                    };
                    queue.verdict(id, Disposition::Accept { mark: None }).unwrap();
                }
            });
            (worker, waker)
        })
        .collect();
    for sender in &senders {
        sender.send_to(b"packet", "127.0.0.1:2500").unwrap();
        assert_eq!(receiver.recv(&mut [0; 100]).unwrap(), 6);
    }
    let packet = UdpPacket {
        source: "192.0.2.1:25".parse().unwrap(),
        destination: "127.0.0.1:2500".parse().unwrap(),
        payload: b"550 no",
    };
    injector.send(&packet.build().unwrap()).unwrap();
    let (_, from) = receiver.recv_from(&mut [0; 100]).unwrap();
    assert_eq!(from.to_string(), "192.0.2.1:25");
    for (worker, waker) in workers {
        waker.wake();
        let (statistics, kernel) = worker.join().unwrap();
        assert!(statistics.received > 0 && statistics.accepted == statistics.received, "{statistics:?}");
        assert_eq!(u64::from(kernel.unwrap().last_id), statistics.received);
    }

    // The user, and the capabilities.
    let status = fs::read_to_string("/proc/self/status");
    if matches!(report.files, Outcome::Missing(_)) {
        assert!(status.unwrap().contains("Uid:\t65534\t65534\t65534\t65534\n"));
    } else {
        assert!(denied(status));
    }
    for set in [CapSet::Effective, CapSet::Permitted] {
        assert!(caps::has_cap(None, set, Capability::CAP_NET_ADMIN).unwrap());
        assert!(!caps::has_cap(None, set, Capability::CAP_NET_RAW).unwrap());
    }

    // Files.
    assert!(denied(fs::read("/etc/shadow")));
    assert_eq!(fs::read_to_string(directory.join("read/policy")).unwrap(), "read/policy");
    assert_eq!(fs::read_dir(directory.join("read")).unwrap().count(), 1);
    let log = directory.join("write/eve.json");
    fs::write(&log, "{}").unwrap();
    fs::rename(&log, directory.join("write/eve.json.1")).unwrap();
    fs::remove_file(directory.join("write/eve.json.1")).unwrap();

    // Sockets and programs.
    assert!(denied(UdpSocket::bind("127.0.0.1:0")));
    assert!(denied(UnixDatagram::unbound()));
    assert!(denied(Command::new("/bin/true").status()));
    assert!(Injector::open(0).is_err());
    assert!(queue::open(&QueueSettings::new(9)).is_err());
    // A listener that was there before still listens, though nobody here can connect to it.
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    // For good.
    assert!(sandbox::enter(&SandboxSettings { restrict_files: false, ..SandboxSettings::default() }).is_err());
}

fn an_interface_is_captured_from_and_its_end_told(directory: &Path) {
    if let Err(reason) = enter().and_then(|()| try_run("ip link add from type veth peer name to")) {
        println!("skipped: {reason}");
        return;
    }
    for command in ["ip link set from up", "ip link set to up", "ip address add 192.0.2.1/24 dev from"] {
        run(command);
    }
    let filter = Some("udp dst port 2500".to_owned());
    let mut live = LiveInterface::open(&LiveSettings { filter, ..LiveSettings::new("to") }).unwrap();
    let sender = UdpSocket::bind("192.0.2.1:0").unwrap();
    sender.set_broadcast(true).unwrap();
    let mut end = Command::new("sh").args(["-c", "sleep 1; ip link delete from"]).spawn().unwrap();
    let settings = SandboxSettings { keep_network_administration: false, ..settings(directory) };
    sandbox::enter(&settings).unwrap();
    sender.send_to(b"packet", "192.0.2.255:2500").unwrap();
    let deadline = || Some(Instant::now() + Duration::from_secs(10));
    assert!(matches!(live.next_until(deadline()), Ok(Captured::Packet(_))));
    assert_eq!(live.statistics().dropped, 0);
    let error = live.next_until(deadline()).unwrap_err();
    assert!(matches!(error, LiveError::Gone { packets: 1, .. }), "{error}");
    // Waiting for a process that was started before is none of what is allowed.
    assert!(end.wait().is_err());
}

fn files_are_restricted_by_landlock_alone(directory: &Path) {
    let settings = SandboxSettings { identity: None, restrict_calls: false, ..settings(directory) };
    let report = sandbox::enter(&settings).unwrap();
    assert_eq!(report.calls, Outcome::Off);
    assert!(report.warnings.iter().any(|warning| warning.contains("still root")), "{report:?}");
    if let Outcome::Missing(reason) = report.files {
        println!("skipped: {reason}");
        return;
    }
    assert!(denied(fs::read("/etc/shadow")));
    assert!(denied(fs::read(directory.join("hidden"))));
    assert!(denied(fs::read_dir(directory)));
    fs::read(directory.join("read/policy")).unwrap();
    assert!(denied(fs::write(directory.join("read/policy"), "")));
    assert!(denied(fs::remove_file(directory.join("read/policy"))));
    assert!(denied(fs::write(directory.join("read/new"), "")));
    fs::write(directory.join("write/new"), "new").unwrap();
    assert_eq!(fs::read(directory.join("write/new")).unwrap(), b"new");
    assert!(denied(std::os::unix::fs::symlink("/etc", directory.join("write/link"))));
    assert!(denied(Command::new("/bin/true").status()));
    UdpSocket::bind("127.0.0.1:0").unwrap();
}

fn calls_are_restricted_by_seccomp_alone(directory: &Path) {
    let settings = SandboxSettings { identity: None, restrict_files: false, ..settings(directory) };
    let report = sandbox::enter(&settings).unwrap();
    assert_eq!((report.files, report.calls), (Outcome::Off, Outcome::Enforced));
    fs::read(directory.join("hidden")).unwrap();
    assert!(denied(UdpSocket::bind("127.0.0.1:0")));
    assert!(denied(UnixDatagram::unbound()));
    UnixDatagram::pair().unwrap();
    assert!(denied(Command::new("/bin/true").status()));
    assert_eq!(thread::spawn(|| 7).join().unwrap(), 7);
    // A panic in a worker is caught, as it is without a sandbox.
    assert!(thread::spawn(|| panic!("a worker's")).join().is_err());
    thread::sleep(Duration::from_millis(1));
    let many: Vec<Vec<u8>> = (0..64).map(|_| vec![1; 1 << 20]).collect();
    assert_eq!(many.len(), 64);
}

fn unix_sockets_are_allowed_where_asked_for(directory: &Path) {
    let listener = UnixListener::bind(directory.join("sink")).unwrap();
    let settings =
        SandboxSettings { unix_sockets: true, identity: None, write: vec![directory.into()], ..settings(directory) };
    sandbox::enter(&settings).unwrap();
    UnixStream::connect(directory.join("sink")).unwrap();
    listener.accept().unwrap();
    assert!(denied(UdpSocket::bind("127.0.0.1:0")));
}

fn threads_and_paths_that_cannot_be_are_told(directory: &Path) {
    let settings = SandboxSettings { read: vec![directory.join("missing")], ..settings(directory) };
    let error = sandbox::enter(&settings).unwrap_err();
    assert!(matches!(error, SandboxError::Path { .. }), "{error:?}");
    assert!(error.to_string().contains("missing cannot be opened: No such file"), "{error}");
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let thread = thread::spawn(move || wait.recv());
    let error = sandbox::enter(&SandboxSettings::default()).unwrap_err();
    assert!(matches!(error, SandboxError::Threads { count: 2 }), "{error:?}");
    drop(end);
    assert!(thread.join().unwrap().is_err());
    // Nothing was given up.
    fs::read("/etc/shadow").unwrap();
}

fn paths_that_the_user_may_not_use_are_told(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory.join("read"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(directory.join("write"), fs::Permissions::from_mode(0o755)).unwrap();
    let identity = Some(Identity { user: 12_345, group: 12_346 });
    let report = sandbox::enter(&SandboxSettings { identity, ..settings(directory) }).unwrap();
    assert!(report.privileges.contains("user 12345, group 12346, CAP_NET_ADMIN alone"), "{report:?}");
    let [read, write] = &report.warnings[..] else { panic!("{report:?}") };
    assert!(read.starts_with("user 12345 may not read ") && read.contains("reloading it will fail"), "{read}");
    assert!(write.starts_with("user 12345 may not write "), "{write}");
    assert!(denied(fs::write(directory.join("write/new"), "")));
}

fn without_the_capability_it_says_so(directory: &Path) {
    for set in [CapSet::Effective, CapSet::Permitted] {
        caps::drop(None, set, Capability::CAP_NET_ADMIN).unwrap();
    }
    let error = sandbox::enter(&settings(directory)).unwrap_err();
    assert!(matches!(error, SandboxError::NotPermitted), "{error:?}");
    let settings = SandboxSettings { keep_network_administration: false, ..settings(directory) };
    let report = sandbox::enter(&settings).unwrap();
    assert!(report.privileges.contains("no capability"), "{report:?}");
}
