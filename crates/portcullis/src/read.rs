//! What `portcullis read` is made of, beside the subcommand itself.
//!
//! | module | is |
//! |---|---|
//! | `reporter` | the engine's output: what it finds, as records and on the screen |
//! | `interest` | which events that needs |
//! | `log_record` | the record of `log` |
//! | `packet` | addresses of packets that belong to no flow |
//! | `totals` | the counters of the `stats` record |
//! | `progress` | the progress bar |

pub(crate) mod progress;
pub(crate) mod reporter;

mod interest;
mod log_record;
mod packet;
mod totals;
