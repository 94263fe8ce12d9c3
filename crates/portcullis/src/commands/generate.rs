//! `portcullis generate`: the manual page and completions, for packages.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::Outcome;
use crate::arguments::{Arguments, Generated};

pub(crate) fn run(what: Generated) -> anyhow::Result<Outcome> {
    let mut command = Arguments::command();
    let mut bytes = Vec::new();
    let shell = match what {
        Generated::Man => None,
        Generated::CompleteBash => Some(Shell::Bash),
        Generated::CompleteFish => Some(Shell::Fish),
        Generated::CompleteZsh => Some(Shell::Zsh),
    };
    match shell {
        Some(shell) => generate(shell, &mut command, "portcullis", &mut bytes),
        None => manual(command, &mut bytes)?,
    }
    std::io::Write::write_all(&mut std::io::stdout().lock(), &bytes)?;
    Ok(Outcome::Fine)
}

/// One page: the program, and each subcommand with its options.
fn manual(mut command: clap::Command, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    command.build();
    let page = clap_mangen::Man::new(command.clone());
    page.render_title(bytes)?;
    page.render_name_section(bytes)?;
    page.render_synopsis_section(bytes)?;
    page.render_description_section(bytes)?;
    page.render_options_section(bytes)?;
    page.render_subcommands_section(bytes)?;
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        let page = clap_mangen::Man::new(subcommand.clone());
        page.render_synopsis_section(bytes)?;
        page.render_description_section(bytes)?;
        page.render_options_section(bytes)?;
    }
    page.render_extra_section(bytes)?;
    page.render_version_section(bytes)
}
