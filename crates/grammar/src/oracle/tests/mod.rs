//! The programs against the oracle, on grammars and inputs that are made up.
//!
//! | file | is |
//! |---|---|
//! | `choices` | octets as a source of choices, so that what fails shrinks to what is small |
//! | `models` | models made of choices |
//! | `inputs` | inputs made by walking a model, and spoiled |
//! | `records` | records: the same slots, length, anomalies, and the same refusals, however the octets are cut |
//! | `streams` | streams: the same content, end and anomalies, however the octets are cut |
//! | `found` | what these tests have found, by name |

mod choices;
mod found;
mod inputs;
mod models;
mod records;
mod streams;
