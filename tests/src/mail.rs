//! Real mail servers and clients in network namespaces: Postfix, Exim, smtp-source and smtp-sink, swaks.
//!
//! The programs come from Debian's packages, unpacked once into the folder of what is built (tests/mail/fetch.sh), never
//! installed. Each [`Host`] has settings, spools and mailboxes of its own in a temporary folder and runs in a namespace;
//! there is no DNS, names are in a hosts file. Everything ends with the values.
//!
//! ```no_run
//! use portcullis_tests::mail::{Host, Programs};
//! use portcullis_tests::namespace::{Line, Need, Offloads, lacking};
//!
//! if lacking(&[Need::Namespaces]) {
//!     return;
//! }
//! let Some(programs) = Programs::fetch() else { return };
//! let line = Line::routed(Offloads::Off);
//! let inside = Host::new(&programs, &line.server, &line.addresses);
//! let postfix = inside.postfix(line.addresses.server_v4(0).into(), &[]);
//! let outside = Host::new(&programs, &line.client, &line.addresses);
//! let run = outside.run("swaks", ["--server", "198.51.100.10", "--to", "bob@inside.test"]);
//! assert_eq!(run.status, 0, "{}", run.stdout);
//! assert_eq!(postfix.wait_for_mails(1).len(), 1);
//! ```

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::namespace::{Addresses, Namespace, Process, has_program, run_of, until};
use crate::{Run, project};

/// The domain of the servers, whose every recipient is accepted.
pub const INSIDE: &str = "inside.test";
/// The domain of the clients.
pub const OUTSIDE: &str = "outside.test";
/// Who can log in at the servers.
pub const USER: &str = "alice";
/// With which password.
pub const PASSWORD: &str = "wonderland";
/// The longest that starting a server, or waiting for mail, takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Numbers of users and groups that exist inside only.
const POSTFIX: u32 = 64_910;
const EXIM: u32 = 64_911;
const MAILBOX: u32 = 64_912;
const POSTDROP: u32 = 64_913;
const SASL: u32 = 64_914;

/// The unpacked programs.
#[derive(Clone, Debug)]
pub struct Programs {
    root: PathBuf,
}

impl Programs {
    /// Downloads and unpacks them, unless that was done before. None where it is impossible; the reason is printed, and the
    /// test has to return.
    ///
    /// # Panics
    ///
    /// If the test does not lie where Cargo puts tests.
    pub fn fetch() -> Option<Self> {
        if !has_program("openssl") {
            println!("skipped: there is no openssl to make certificates");
            return None;
        }
        let test = std::env::current_exe().unwrap_or_else(|error| panic!("a test has a path: {error}"));
        let target = test.ancestors().nth(3).unwrap_or_else(|| panic!("tests lie in TARGET/PROFILE/deps"));
        let folder = target.join("tmp/mail");
        let mut fetch = Command::new("timeout");
        fetch.arg("170").arg(project().join("tests/mail/fetch.sh")).arg(&folder);
        match fetch.output() {
            Ok(output) if output.status.success() => Some(Self { root: folder.join("root") }),
            Ok(output) => {
                println!("skipped: no mail servers: {}", run_of(&output).stderr.trim());
                None
            }
            Err(error) => {
                println!("skipped: no mail servers: {error}");
                None
            }
        }
    }
}

/// A machine for mail in a namespace, with settings in /etc that only its programs see.
#[derive(Debug)]
pub struct Host<'a> {
    programs: Programs,
    namespace: &'a Namespace,
    folder: TempDir,
}

impl<'a> Host<'a> {
    /// Makes the settings that all programs share: users, names, certificates.
    ///
    /// # Panics
    ///
    /// If files cannot be written or no certificate be made.
    pub fn new(programs: &Programs, namespace: &'a Namespace, addresses: &Addresses) -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let host = Self { programs: programs.clone(), namespace, folder };
        // The servers run as users of their own, and look in.
        fs::set_permissions(host.path(), fs::Permissions::from_mode(0o755)).unwrap_or_else(|error| panic!("{error}"));
        host.write_etc(addresses);
        let made = Command::new("openssl")
            .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30".split(' '))
            .args(["-subj", &format!("/CN=mx.{INSIDE}"), "-keyout", "key.pem", "-out", "certificate.pem"])
            .current_dir(host.path())
            .output();
        assert!(made.is_ok_and(|output| output.status.success()), "no certificate was made");
        let read = |name: &str| fs::read_to_string(host.path().join(name)).unwrap_or_default();
        host.write("both.pem", &(read("key.pem") + &read("certificate.pem")));
        for name in ["key.pem", "both.pem"] {
            fs::set_permissions(host.path().join(name), fs::Permissions::from_mode(0o644))
                .unwrap_or_else(|error| panic!("{error}"));
        }
        host
    }

    fn write_etc(&self, addresses: &Addresses) {
        let old = |name: &str| fs::read_to_string(Path::new("/etc").join(name)).unwrap_or_default();
        let users = [("postfix", POSTFIX), ("Debian-exim", EXIM), ("pclmail", MAILBOX)];
        let groups = [("postdrop", POSTDROP), ("sasl", SASL)];
        let known = |line: &&str| !users.iter().chain(&groups).any(|(name, _)| line.starts_with(&format!("{name}:")));
        let mut passwd: String = old("passwd").lines().filter(known).map(|line| format!("{line}\n")).collect();
        let mut group: String = old("group").lines().filter(known).map(|line| format!("{line}\n")).collect();
        for (name, id) in users {
            let _ = writeln!(passwd, "{name}:x:{id}:{id}::/nonexistent:/usr/sbin/nologin");
        }
        for (name, id) in users.iter().chain(&groups) {
            let _ = writeln!(group, "{name}:x:{id}:");
        }
        let mut hosts = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
        let _ = writeln!(hosts, "{} client.{OUTSIDE} {OUTSIDE}", addresses.client_v4);
        let _ = writeln!(hosts, "{} mx.{INSIDE} {INSIDE}", addresses.server_v4(0));
        let _ = writeln!(hosts, "{} exim.{INSIDE}", addresses.server_v4(1));
        self.write("etc/passwd", &passwd);
        self.write("etc/group", &group);
        self.write("etc/hosts", &hosts);
        self.write("etc/resolv.conf", "");
        self.write("etc/nsswitch.conf", "hosts: files\npasswd: files\ngroup: files\nservices: files\n");
        self.write("etc/services", "smtp 25/tcp mail\n");
        self.write("etc/swaksrc", "");
    }

    /// Where its settings, spools and mailboxes are.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into its folder; its path.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        let written = fs::create_dir_all(path.parent().unwrap_or(self.path())).and_then(|()| fs::write(&path, text));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    fn folder(&self, name: &str, owner: Option<u32>) -> PathBuf {
        let path = self.path().join(name);
        let made = fs::create_dir_all(&path).and_then(|()| chown(&path, owner, owner));
        made.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// A command that runs on this host, with the programs of mail on its path.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.namespace.command(project().join("tests/mail/enter.sh"));
        command.arg(&self.programs.root).arg(self.path().join("etc")).arg(program);
        command
    }

    /// Runs a program of mail to its end: `swaks`, `smtp-source`, `curl`, `postqueue`. After a minute it is killed and its
    /// status is 124.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn run<S: AsRef<OsStr>>(&self, program: &str, arguments: impl IntoIterator<Item = S>) -> Run {
        let mut command = self.command("timeout");
        command.args(["-k", "1", "60", program]).args(arguments);
        run_of(&command.output().unwrap_or_else(|error| panic!("{program}: {error}")))
    }

    /// Starts a program of mail that runs beside the test; what it writes goes to the file NAME.log of the host's folder.
    pub fn spawn<S: AsRef<OsStr>>(&self, name: &str, program: &str, arguments: impl IntoIterator<Item = S>) -> Process {
        let mut command = self.command(program);
        command.args(arguments);
        Process::start(command, Some(&self.path().join(format!("{name}.log"))))
    }

    /// Starts Postfix as a server on an address, port 25: it takes any recipient of [`INSIDE`], offers TLS, and lets
    /// [`USER`] log in. Settings are added to its main.cf.
    ///
    /// # Panics
    ///
    /// If it does not listen in time.
    pub fn postfix(&self, address: IpAddr, settings: &[(&str, &str)]) -> Server {
        let database = self.path().join("sasldb2");
        let script = "echo \"$1\" | saslpasswd2 -f \"$2\" -p -c -u \"$3\" \"$4\" && chmod 644 \"$2\"";
        let name = format!("mx.{INSIDE}");
        let made = self.run("sh", ["-c", script, "sh", PASSWORD, &database.display().to_string(), &name, USER]);
        assert_eq!(made.status, 0, "no user was made: {}", made.stderr);
        let mut all = vec![
            ("smtpd_sasl_auth_enable", "yes"),
            ("smtpd_sasl_local_domain", &name),
            ("smtpd_tls_security_level", "may"),
        ];
        all.extend(settings);
        self.start_postfix("postfix", &name, INSIDE, address, &all)
    }

    /// Starts Postfix as a client: mail that is handed to port 25 of its loopback it brings to the relay, tries again after
    /// 2 seconds while that fails for now, and puts what bounces into the mailbox of the sender at [`OUTSIDE`].
    ///
    /// # Panics
    ///
    /// If it does not listen in time.
    pub fn postfix_client(&self, relay: IpAddr, settings: &[(&str, &str)]) -> Server {
        let relay = format!("[{relay}]");
        let mut all = vec![
            ("relayhost", relay.as_str()),
            ("queue_run_delay", "2s"),
            ("minimal_backoff_time", "2s"),
            ("maximal_backoff_time", "4s"),
            ("smtp_connection_cache_on_demand", "no"),
            ("smtp_bind_address", "0.0.0.0"),
        ];
        all.extend(settings);
        self.start_postfix("client", &format!("client.{OUTSIDE}"), OUTSIDE, IpAddr::from([127, 0, 0, 1]), &all)
    }

    fn start_postfix(
        &self,
        folder: &str,
        name: &str,
        domain: &str,
        address: IpAddr,
        settings: &[(&str, &str)],
    ) -> Server {
        let home = self.folder(folder, None);
        self.folder(&format!("{folder}/data"), Some(POSTFIX));
        self.folder(&format!("{folder}/spool"), None);
        let inbox = self.folder(&format!("{folder}/inbox"), Some(MAILBOX));
        let mut main = MAIN_CF
            .replace("HOME", &home.display().to_string())
            .replace("SHARED", &self.path().display().to_string())
            .replace("NAME", name)
            .replace("DOMAIN", domain);
        let _ = writeln!(main, "inet_interfaces = {address}");
        for (name, value) in settings {
            let _ = writeln!(main, "{name} = {value}");
        }
        self.write(&format!("{folder}/conf/main.cf"), &main);
        self.write(&format!("{folder}/conf/master.cf"), MASTER_CF);
        // Debian's Postfix looks for it beside main.cf.
        let users = self.path().join("sasldb2");
        let sasl = "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\nsasldb_path: ";
        self.write(&format!("{folder}/conf/sasl/smtpd.conf"), &format!("{sasl}{}\n", users.display()));
        let conf = home.join("conf").display().to_string();
        let process = self.spawn(folder, "postfix", ["-c", &conf, "start-fg"]);
        self.server(process, address, inbox, home.join("log"))
    }

    /// Starts Exim as a server on an address, port 25: it takes any recipient of [`INSIDE`], offers TLS, and lets
    /// [`USER`] log in. Settings are added to the main part of its configuration.
    ///
    /// # Panics
    ///
    /// If it does not listen in time.
    pub fn exim(&self, address: IpAddr, settings: &[(&str, &str)]) -> Server {
        let home = self.folder("exim", Some(EXIM));
        self.folder("exim/spool", Some(EXIM));
        let inbox = self.folder("exim/inbox", Some(EXIM));
        let mut main = String::new();
        for (name, value) in settings {
            let _ = writeln!(main, "{name} = {value}");
        }
        let address_as_list = address.to_string().replace(':', "::");
        let text = EXIM_CONF
            .replace("HOME", &home.display().to_string())
            .replace("SHARED", &self.path().display().to_string())
            .replace("DOMAIN", INSIDE)
            .replace("ADDRESS", &address_as_list)
            .replace("USER", USER)
            .replace("PASSWORD", PASSWORD)
            .replace("SETTINGS", &main);
        let configuration = self.write("exim/exim.conf", &text).display().to_string();
        let process = self.spawn("exim", "exim4", ["-C", &configuration, "-bdf", "-q30m", "-oX", "25"]);
        self.server(process, address, inbox, home.join("mainlog"))
    }

    /// Starts smtp-sink, which takes everything and keeps nothing, on an address and port 25; with options of its own.
    ///
    /// # Panics
    ///
    /// If it does not listen in time.
    pub fn sink(&self, address: IpAddr, options: &[&str]) -> Server {
        let place = match address {
            IpAddr::V4(address) => format!("inet:{address}:25"),
            IpAddr::V6(address) => format!("inet:[{address}]:25"),
        };
        let inbox = self.folder("sink", Some(POSTFIX));
        let mut arguments = vec!["-u", "postfix", "-h", "sink.inside.test"];
        arguments.extend(options);
        arguments.extend([place.as_str(), "256"]);
        let process = self.spawn("smtp-sink", "smtp-sink", arguments);
        self.server(process, address, inbox, self.path().join("smtp-sink.log"))
    }

    fn server(&self, process: Process, address: IpAddr, inbox: PathBuf, log: PathBuf) -> Server {
        let mut server = Server { process, inbox, log };
        // Asked from within, so that neither the network nor a gateway takes part.
        let probe = "exec 3<>/dev/tcp/$0/25";
        let answers = until(PATIENCE, || {
            !server.process.runs() || self.namespace.run_for(2, "bash", ["-c", probe, &address.to_string()]).status == 0
        });
        let runs = server.process.runs();
        assert!(answers && runs, "no server on {address}:\n{}\n{}", server.log(), self.logs());
        server
    }

    fn logs(&self) -> String {
        let mut all = String::new();
        for entry in fs::read_dir(self.path()).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "log") {
                all += &fs::read_to_string(entry.path()).unwrap_or_default();
            }
        }
        all
    }
}

/// A server that runs; it is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    process: Process,
    inbox: PathBuf,
    log: PathBuf,
}

impl Server {
    /// Its master process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    /// Waits until its log has a text; whether it came in time.
    pub fn logs(&self, text: &str) -> bool {
        until(PATIENCE, || self.log().contains(text))
    }

    /// The mails that were delivered, oldest first, with the header fields that the server added. Lines end with LF.
    pub fn mails(&self) -> Vec<Vec<u8>> {
        let mut paths: Vec<(std::time::SystemTime, PathBuf)> = fs::read_dir(self.inbox.join("new"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        paths.sort();
        paths.iter().filter_map(|(_, path)| fs::read(path).ok()).collect()
    }

    /// Waits until there are so many mails, for 20 seconds at most; those that there are.
    pub fn wait_for_mails(&self, count: usize) -> Vec<Vec<u8>> {
        let mut mails = Vec::new();
        until(PATIENCE, || {
            mails = self.mails();
            mails.len() >= count
        });
        mails
    }
}

/// The body of a mail: what follows the first empty line.
pub fn body(mail: &[u8]) -> &[u8] {
    for (empty, length) in [(&b"\n\n"[..], 2), (&b"\r\n\r\n"[..], 4)] {
        if let Some(at) = mail.windows(length).position(|window| window == empty) {
            return mail.get(at + length..).unwrap_or_default();
        }
    }
    b""
}

const MAIN_CF: &str = "\
compatibility_level = 3.6
queue_directory = HOME/spool
data_directory = HOME/data
maillog_file = HOME/log
maillog_file_prefixes = HOME
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
meta_directory = /etc/postfix
shlib_directory = /usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = NAME
mydestination =
local_transport = error:no local mail
alias_maps =
alias_database =
inet_protocols = all
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
smtpd_tls_cert_file = SHARED/certificate.pem
smtpd_tls_key_file = SHARED/key.pem
virtual_mailbox_domains = DOMAIN
virtual_mailbox_base = HOME
virtual_mailbox_maps = static:inbox/
virtual_uid_maps = static:64912
virtual_gid_maps = static:64912
virtual_mailbox_limit = 0
message_size_limit = 104857600
smtpd_peername_lookup = no
disable_dns_lookups = yes
smtp_host_lookup = native
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
";

const MASTER_CF: &str = "\
25         inet       n - n -     - smtpd
pickup     unix       n - n 60    1 pickup
cleanup    unix       n - n -     0 cleanup
qmgr       unix       n - n 300   1 qmgr
tlsmgr     unix       - - n 1000? 1 tlsmgr
rewrite    unix       - - n -     - trivial-rewrite
bounce     unix       - - n -     0 bounce
defer      unix       - - n -     0 bounce
trace      unix       - - n -     0 bounce
verify     unix       - - n -     1 verify
flush      unix       n - n 1000? 0 flush
proxymap   unix       - - n -     - proxymap
proxywrite unix       - - n -     1 proxymap
smtp       unix       - - n -     - smtp
relay      unix       - - n -     - smtp
error      unix       - - n -     - error
retry      unix       - - n -     - error
discard    unix       - - n -     - discard
virtual    unix       - n n -     - virtual
anvil      unix       - - n -     1 anvil
scache     unix       - - n -     1 scache
postlog    unix-dgram n - n -     1 postlogd
";

const EXIM_CONF: &str = "\
primary_hostname = exim.DOMAIN
domainlist local_domains = DOMAIN
spool_directory = HOME/spool
log_file_path = HOME/%slog
pid_file_path = HOME/pid
exim_path = /usr/sbin/exim4
deliver_drop_privilege = true
local_interfaces = <; ADDRESS
tls_advertise_hosts = *
tls_certificate = SHARED/both.pem
host_lookup =
rfc1413_query_timeout = 0s
never_users = root
keep_environment =
timezone = UTC
chunking_advertise_hosts = *
message_size_limit = 100M
acl_smtp_rcpt = to_us
acl_smtp_data = accept
SETTINGS
begin acl
to_us:
  accept domains = +local_domains
  accept authenticated = *
  deny message = relay not permitted
begin routers
inbox:
  driver = accept
  domains = +local_domains
  transport = inbox
begin transports
inbox:
  driver = appendfile
  directory = HOME/inbox
  maildir_format
  create_directory
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{USER}}{eq{$auth3}{PASSWORD}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if and{{eq{$auth1}{USER}}{eq{$auth2}{PASSWORD}}}}
  server_set_id = $auth1
";
