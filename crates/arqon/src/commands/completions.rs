//! `arqon completions`.

use crate::connect::Outcome;
use crate::options::Cli;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::io::Write;
use std::process::ExitCode;

/// Print what a shell needs to complete commands and options.
#[derive(Args)]
#[command(after_help = "Examples:
  arqon completions bash > ~/.local/share/bash-completion/completions/arqon
  arqon completions zsh > ~/.zfunc/_arqon
  arqon completions fish > ~/.config/fish/completions/arqon.fish")]
pub(crate) struct Completions {
    /// Which shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "arqon", &mut script);
        std::io::stdout().lock().write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}
