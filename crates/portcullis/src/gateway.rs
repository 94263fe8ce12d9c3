//! What `portcullis inline` is made of, beside the subcommand itself.
//!
//! ```text
//! queue 0 ─► worker (gate, reporter) ─┬─► verdicts, packets of our own
//! queue 1 ─► worker (gate, reporter) ─┘└─► records ─► writer ─► file
//!               ▲ orders: rules, mode, stop        watchdog, guard, control socket, signals
//! ```
//!
//! | module | is |
//! |---|---|
//! | `worker` | one queue and the gate behind it |
//! | `witness` | takes what a gate finds, for records and stories |
//! | `stories` | stories of flows that somebody asks about |
//! | `records` | records of several workers into one place |
//! | `evidence` | captures of flows in which something was found |
//! | `watchdog` | ends the process when a worker hangs |
//! | `guard` | a second process that ends the first when that stands still |
//! | `control` | the control socket, and who asks over it |
//! | `director` | loads rules, answers requests and signals, writes statistics |
//! | `notify` | what systemd is told |
//! | `marks` | the packet marks that the firewall rules know |

pub(crate) mod control;
pub(crate) mod director;
pub(crate) mod evidence;
pub(crate) mod guard;
pub(crate) mod marks;
pub(crate) mod notify;
pub(crate) mod records;
pub(crate) mod stories;
pub(crate) mod watchdog;
pub(crate) mod witness;
pub(crate) mod worker;
