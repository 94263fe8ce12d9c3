//! `portcullis check --explain CODE`: the page about a code.

use std::io::Write;

use anyhow::Context;
use portcullis_lang::Code;

use crate::{Outcome, shipped};

pub(crate) fn run(code: Code) -> anyhow::Result<Outcome> {
    // A test holds that every code has a page.
    let page = shipped::page(code).with_context(|| format!("{code} has no page: {}", code.title()))?;
    std::io::stdout().lock().write_all(page.as_bytes())?;
    Ok(Outcome::Fine)
}
