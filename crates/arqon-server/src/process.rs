//! What the process asks of the kernel.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Raises the number of open files to what the system allows: each connection is one, and the default of 1,024 is the
/// usual reason for which a server refuses its thousandth client.
pub(crate) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Puts the same program with the same arguments in the place of this one; answers only if that cannot be done.
pub(crate) fn begin_anew() -> std::io::Error {
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_default();
    // The file that this one was started from may have been replaced by a newer release since.
    let program = std::env::current_exe().ok().filter(|path| path.exists()).unwrap_or_else(|| name.into());
    Command::new(program).args(args).exec()
}
