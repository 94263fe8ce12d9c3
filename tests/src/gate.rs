//! A gate that runs in a gateway's namespace, with the firewall rules that send it packets.
#![expect(clippy::expect_used, reason = "a gate that cannot be started ends the test")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::command;
use crate::namespace::{Namespace, Process, run_of, until};

/// The longest that the gate takes to stand.
const START: Duration = Duration::from_secs(20);

/// A gate that runs.
#[derive(Debug)]
pub struct Gate<'a> {
    namespace: &'a Namespace,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    process: Process,
}

impl<'a> Gate<'a> {
    /// Starts `portcullis inline` on queue 0 of a gateway, with more arguments, and then sends it all TCP that is forwarded.
    ///
    /// # Panics
    ///
    /// If it does not stand in time.
    pub fn start(namespace: &'a Namespace, arguments: &[&str]) -> Gate<'a> {
        let folder = tempfile::tempdir().expect("a folder");
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let process = run(namespace, folder.path(), &arguments);
        for program in ["iptables-legacy", "ip6tables-legacy"] {
            namespace.shell(&format!("{program} -w -I FORWARD -p tcp -j NFQUEUE --queue-num 0 --queue-bypass"));
        }
        Gate { namespace, folder, arguments, process }
    }

    /// Starts `portcullis inline` on queue 0 of a gateway behind the rules that `portcullis rules apply` makes with more arguments.
    ///
    /// # Panics
    ///
    /// If it does not stand in time, or the rules cannot be applied.
    pub fn behind_rules(namespace: &'a Namespace, rules: &[&str], arguments: &[&str]) -> Gate<'a> {
        let folder = tempfile::tempdir().expect("a folder");
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let process = run(namespace, folder.path(), &arguments);
        let program = command();
        let mut command = namespace.command(program.get_program());
        let applied = run_of(&command.args(["rules", "apply"]).args(rules).output().expect("rules run"));
        assert_eq!(applied.status, 0, "{}", applied.stderr);
        Gate { namespace, folder, arguments, process }
    }

    /// Starts it again after it has ended.
    pub fn again(&mut self) {
        self.process = run(self.namespace, self.folder.path(), &self.arguments);
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// A file of the gate's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the gate answers to a command.
    ///
    /// # Panics
    ///
    /// If there is no answer.
    pub fn ask(&self, words: &str) -> Value {
        let output = command()
            .arg("ctl")
            .args(words.split(' '))
            .arg("--control")
            .arg(self.path("control.sock"))
            .output()
            .expect("ctl runs");
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// The counters, when those of the last packets are among them.
    pub fn counters(&self) -> Value {
        std::thread::sleep(Duration::from_millis(600));
        self.ask("stats")
    }

    /// The records of a type that have been written.
    pub fn records(&self, event_type: &str) -> Vec<Value> {
        std::thread::sleep(Duration::from_millis(600));
        let text = std::fs::read_to_string(self.path("eve.json")).unwrap_or_default();
        let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        records.filter(|record| record.get("event_type").is_some_and(|found| found == event_type)).collect()
    }

    /// What it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("gate.log")).unwrap_or_default()
    }
}

fn run(namespace: &Namespace, folder: &Path, arguments: &[String]) -> Process {
    let program = command();
    let mut command = namespace.command(program.get_program());
    command.args(["inline", "--color", "never", "--eve"]).arg(folder.join("eve.json"));
    command.arg("--control").arg(folder.join("control.sock")).args(arguments);
    let before = std::fs::read_to_string(folder.join("gate.log")).unwrap_or_default().len();
    let mut process = Process::start(command, Some(&folder.join("gate.log")));
    let stands = until(START, || {
        let log = std::fs::read_to_string(folder.join("gate.log")).unwrap_or_default();
        log.get(before..).is_some_and(|log| log.contains("the gate stands")) || !process.runs()
    });
    let log = std::fs::read_to_string(folder.join("gate.log")).unwrap_or_default();
    assert!(stands && process.runs(), "the gate does not stand: {log}");
    process
}

/// A number of the counters, by the names that lead to it.
pub fn number(counters: &Value, path: &[&str]) -> u64 {
    let found = path.iter().try_fold(counters, |value, name| value.get(name));
    found.and_then(Value::as_u64).unwrap_or(0)
}
