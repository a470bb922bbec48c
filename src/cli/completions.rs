//! Completion scripts for shells, generated from the definition of the command line.

use std::any::TypeId;
use std::path::PathBuf;

use clap::builder::ValueHint;
use clap::{Arg, Command, CommandFactory as _};
use clap_complete::Shell;

use super::command::Cli;
use super::values::CompletionShell;

/// In clap's script these options of `complete` have bash offer file names wherever the script has no
/// suggestion. They are removed: most values of pktcat's options are no files.
const BASH_DEFAULT: &str = " -o bashdefault -o default";

/// Added to clap's script: after `--` stands a program with its arguments, for which bash's own
/// completion is right.
const BASH_COMMAND: &str = r#"    if [[ "${BASH_VERSINFO[0]}" -ge 4 && " ${COMP_WORDS[*]:0:COMP_CWORD} " == *" -- "* ]]; then
        compopt -o bashdefault -o default
        return 0
    fi
"#;

/// Added to clap's script: host names for the arguments, and no file names, which fish offers unless it
/// is told not to (`-f`).
const FISH_HOSTS: &str = r#"complete -c pktcat -n "__fish_pktcat_using_subcommand listen connect scan compare; and not contains -- -- (commandline -opc)" -f -a "(__fish_print_hostnames)"
"#;

/// The completion script for a shell.
#[must_use]
pub fn script(shell: CompletionShell) -> String {
    let mut script = Vec::new();
    let mut generate = |shell| {
        clap_complete::generate(shell, &mut definitions(), "pktcat", &mut script);
        String::from_utf8_lossy(&script).into_owned()
    };
    match shell {
        CompletionShell::Bash => {
            let text = generate(Shell::Bash).replace(BASH_DEFAULT, "");
            text.replacen("    COMPREPLY=()\n", &format!("    COMPREPLY=()\n{BASH_COMMAND}"), 1)
        }
        CompletionShell::Zsh => generate(Shell::Zsh),
        CompletionShell::Fish => generate(Shell::Fish) + FISH_HOSTS,
    }
}

/// The definition of the command line for completions: all subcommands built, hidden options left out,
/// and a hint for each value what kind it is.
fn definitions() -> Command {
    let mut all = Cli::command();
    all.build();
    shown(&all)
}

fn shown(command: &Command) -> Command {
    let args = command.get_arguments().filter(|arg| !arg.is_hide_set()).cloned().map(hinted);
    // clap requires a `'static` name. The leak does not matter: the program ends after this.
    let name: &str = command.get_name().to_owned().leak();
    let copy = Command::new(name)
        .version(env!("CARGO_PKG_VERSION"))
        // `--help` and `--version` are among the arguments already.
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(args)
        .subcommands(command.get_subcommands().map(shown));
    match command.get_about() {
        Some(about) => copy.about(about.clone()),
        None => copy,
    }
}

/// Marks a value as a file name if it is one, and otherwise as something that shells must not complete
/// with file names.
fn hinted(arg: Arg) -> Arg {
    if !arg.get_action().takes_values() {
        return arg;
    }
    if arg.get_value_parser().type_id() == TypeId::of::<PathBuf>() {
        return arg.value_hint(ValueHint::FilePath);
    }
    match arg.get_value_hint() {
        ValueHint::Unknown => arg.value_hint(ValueHint::Other),
        _ => arg,
    }
}
