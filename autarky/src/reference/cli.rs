//! cli.md: every command with its arguments and defaults, from the command line's own description.

use super::markdown::{Markdown, code, codes, sentence};
use clap::{Arg, Command};

/// What the environment says, which clap does not know: read by `config::paths` and by `serve`.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("AUTARKY_LOG", "What is logged: a level (`info`, the default, `debug`, `warn`, `error`) or `tracing` directives."),
    (
        "AUTARKY_CACHE",
        "The cache folder, where weights lie. Default: `autarky` in `XDG_CACHE_HOME`, else `~/.cache/autarky`.",
    ),
    ("XDG_CONFIG_HOME", "Where `autarky/autarky.toml` is looked for when there is none here. Default: `~/.config`."),
    (
        "XDG_DATA_HOME",
        "Where `autarky/` keeps ledger and keys unless `server.data` names a folder. Default: `~/.local/share`.",
    ),
    ("any other name", "Where the configuration says `env:NAME`, e.g. `OPENAI_API_KEY`."),
];

const EXIT_CODES: [(&str, &str); 3] =
    [("0", "Done."), ("1", "It failed, or something is wrong."), ("2", "The command line is wrong.")];

const SIGNALS: [(&str, &str); 3] = [
    (
        "SIGTERM, SIGINT",
        "`serve` takes no new connections, lets open requests end (`server.drain_s`), writes the ledger and stops.",
    ),
    (
        "SIGUSR2",
        "`serve` starts the program anew, as it now lies on the disk, and hands over to it: its sockets, what is spent and \
         counted. Open requests end here. If the new one does not start, this one goes on serving and says so.",
    ),
    (
        "SIGHUP",
        "`serve` reads the configuration again, as it does on every change of the file. One with errors is refused.",
    ),
];

/// The page.
pub(super) fn page(command: &Command) -> String {
    let mut command = command.clone();
    command.build();
    let mut page =
        Markdown::new("Commands", "Every command prints this with `--help`, and its arguments with an explanation.");
    for child in command.get_subcommands().filter(|child| !child.is_hide_set()) {
        describe(&mut page, child, 2);
    }
    let pairs =
        |list: &[(&str, &str)]| list.iter().map(|(name, text)| [code(name), (*text).to_owned()]).collect::<Vec<_>>();
    page.heading(2, "Exit codes");
    page.table(["code", "meaning"], &pairs(&EXIT_CODES));
    page.heading(2, "Signals");
    page.table(["signal", "what happens"], &pairs(&SIGNALS));
    page.heading(2, "Environment");
    page.table(["variable", "meaning"], &pairs(&ENVIRONMENT));
    page.heading(2, "Not for people");
    let hidden = command.get_subcommands().filter(|child| child.is_hide_set());
    let rows: Vec<_> = hidden.map(|child| [code(&format!("autarky {}", child.get_name())), about(child)]).collect();
    page.table(["command", "what it is for"], &rows);
    page.finish()
}

fn describe(page: &mut Markdown, command: &Command, level: usize) {
    if command.get_name() == "help" {
        return;
    }
    let mut command = command.clone();
    let usage = command.render_usage().to_string();
    page.heading(level, &code(command.get_bin_name().unwrap_or(command.get_name())));
    page.paragraph(&about(&command));
    page.code("", usage.trim_start_matches("Usage: "));
    let arguments = command.get_arguments().filter(|arg| !arg.is_hide_set() && !is_standard(arg));
    page.table(["argument", "default", "meaning"], &arguments.map(row).collect::<Vec<_>>());
    for child in command.get_subcommands() {
        describe(page, child, level + 1);
    }
}

fn about(command: &Command) -> String {
    sentence(&command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default())
}

fn is_standard(arg: &Arg) -> bool {
    matches!(arg.get_id().as_str(), "help" | "version")
}

fn row(arg: &Arg) -> [String; 3] {
    let value = arg.get_value_names().map(|names| names.join(" ")).unwrap_or_default();
    let takes_value = arg.get_action().takes_values();
    let mut name = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (Some(short), None) => format!("-{short}"),
        (None, Some(long)) => format!("--{long}"),
        (None, None) => String::new(),
    };
    if takes_value {
        name = format!("{name} <{value}>").trim_start().to_owned();
    }
    let default = match arg.get_default_values() {
        [] if arg.is_required_set() => "required".to_owned(),
        [] => String::new(),
        list => codes(list.iter().filter_map(|value| value.to_str())),
    };
    let mut meaning = sentence(&arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default());
    if takes_value {
        for value in arg.get_possible_values().iter().filter(|value| !value.is_hide_set()) {
            let help = value.get_help().map(|help| sentence(&format!(": {help}"))).unwrap_or_default();
            meaning.push_str(&format!("<br>{}{help}", code(value.get_name())));
        }
    }
    [code(&name), default, meaning]
}
