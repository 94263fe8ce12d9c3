//! Network namespaces for tests: each is that of one thread, has no name, and is gone with the thread. So runs at the same time
//! cannot meet, and nothing is left behind.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::process::Command;
use std::sync::mpsc;
use std::thread;

/// Runs a test in a network namespace of its own, in which only the loopback interface is, and up. Without what the test
/// needs it prints why it is skipped.
pub fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let result = thread::spawn(move || {
        if let Err(reason) = enter() {
            println!("skipped: {reason}");
            return;
        }
        if let Err(reason) = nfqueue_works() {
            println!("skipped: {reason}");
            return;
        }
        test();
    })
    .join();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// As [`in_namespace`], for tests that need no firewall.
pub fn in_plain_namespace(test: impl FnOnce() + Send + 'static) {
    let result = thread::spawn(move || match enter() {
        Ok(()) => test(),
        Err(reason) => println!("skipped: {reason}"),
    })
    .join();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// Gives the thread a network namespace of its own.
pub fn enter() -> Result<(), String> {
    // SAFETY: takes a number; the thread gets another network namespace, and nothing that is open changes.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    if result != 0 {
        return Err(format!("no network namespace of our own: {}; it needs root", std::io::Error::last_os_error()));
    }
    try_run("ip link set lo up")
}

fn nfqueue_works() -> Result<(), String> {
    try_run("iptables-legacy -A OUTPUT -p udp --dport 9 -j NFQUEUE --queue-num 9")?;
    try_run("iptables-legacy -F OUTPUT")
}

/// Another namespace, of a thread that waits until this is dropped.
pub struct Peer {
    /// The thread, which `ip link ... netns` takes.
    pub thread: i32,
    commands: Option<mpsc::Sender<Box<dyn FnOnce() + Send>>>,
    handle: Option<thread::JoinHandle<()>>,
}

impl Peer {
    pub fn new() -> Self {
        let (commands, work) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (tell, told) = mpsc::channel();
        let handle = thread::spawn(move || {
            enter().unwrap();
            // SAFETY: takes and gives a number.
            let thread = unsafe { libc::gettid() };
            tell.send(thread).unwrap();
            for command in work {
                command();
            }
        });
        Self { thread: told.recv().unwrap(), commands: Some(commands), handle: Some(handle) }
    }

    /// Runs something in the namespace, and waits for its result.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = mpsc::channel();
        self.commands
            .as_ref()
            .unwrap()
            .send(Box::new(move || {
                let _ = tell.send(work());
            }))
            .unwrap();
        told.recv().unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

/// Runs a command, split at spaces, in the namespace of this thread.
pub fn run(command: &str) {
    try_run(command).unwrap();
}

pub fn try_run(command: &str) -> Result<(), String> {
    output(command).map(|_| ())
}

/// What a command prints.
pub fn output(command: &str) -> Result<String, String> {
    let mut words = command.split(' ');
    let program = words.next().unwrap_or_default();
    let output =
        Command::new(program).args(words).output().map_err(|error| format!("{program} cannot be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("`{command}` failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
