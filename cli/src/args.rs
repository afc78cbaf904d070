//! What a person may type, with an example for every command.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use milepost_dsl::GraphFormat;
use milepost_dsl::spec::Kind;
use milepost_platform::plan::AirflowVersion;

/// Describe a data ecosystem as code: check it, and render what runs it.
#[derive(Debug, Parser)]
#[command(
    name = "milepost",
    version,
    arg_required_else_help = true,
    after_help = EXIT_CODES
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    findings: lint errors, drift with --check, a failed check or stream, a demo whose rows are not true
  2    usage, configuration or unreadable input
  3    something could not be reached
  76   stopped by a signal";

const DOCTOR_HELP: &str = "\
Examples:
  milepost doctor --platform main            the model of this directory against what runs
  milepost doctor --platform main examples/shop
  milepost doctor --platform main --format json | jq '.checks[] | select(.grade == \"fail\")'

It asks Kafka Connect, the Postgres sources and the platform's Postgres, with the credentials that the model
names: CREDENTIAL_USER and CREDENTIAL_PASSWORD of each. A source whose credential is not set is only warned of:
Kafka Connect tries it with its own. MILEPOST_DATABASE_URL overrides where the platform's Postgres is; PGSSLMODE
and PGSSLROOTCERT (databases) and SSL_CERT_FILE (Kafka Connect) say whom TLS trusts.

Exit codes:
  0    nothing failed; there may be warnings
  1    a check failed
  2    the model has errors, a variable is missing, or a login is refused
  3    Kafka Connect or a database cannot be reached; everything else was examined";

const STATUS_HELP: &str = "\
Examples:
  milepost status --platform main
  milepost status --platform main examples/shop
  milepost status --platform main --format json | jq '.streams[] | select(.state != \"healthy\")'

It asks the platform's Postgres and Kafka Connect, with the credentials that the model names; see `milepost doctor
--help`.

Exit codes:
  0    no stream and no connector has failed
  1    one has failed, or is missing
  2    the model has errors, a variable is missing, or a login is refused
  3    the database or Kafka Connect cannot be reached";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List all problems of a model.
    #[command(after_help = "\
Examples:
  milepost lint                              the model of this directory
  milepost lint examples/shop
  milepost lint --format json | jq .summary
  milepost lint --format github              annotations for a GitHub Action")]
    Lint(LintArgs),

    /// Show what flows where: the intention graph of each platform.
    #[command(after_help = "\
Examples:
  milepost graph examples/shop
  milepost graph --platform main --format mermaid > graph.mmd
  milepost graph --platform main --format dot | dot -Tsvg > graph.svg")]
    Graph(GraphArgs),

    /// Write what runs a model: stream specs, DAGs of Airflow, Terraform of Kafka Connect.
    #[command(after_help = "\
Examples:
  milepost render examples/shop --out rendered
  milepost render --out rendered --platform main --airflow 2
  milepost render --out rendered --check     what differs from the disk; exit code 1 if anything does")]
    Render(RenderArgs),

    /// Print the JSON Schema of a kind of document, for editors.
    #[command(after_help = "\
Examples:
  milepost schema Datastore > datastore.schema.json
  milepost schema                            all kinds, one schema")]
    Schema(SchemaArgs),

    /// Print a completion script for a shell.
    #[command(after_help = "\
Examples:
  milepost completions bash > ~/.local/share/bash-completion/completions/milepost
  milepost completions zsh > \"${fpath[1]}/_milepost\"")]
    Completions(CompletionsArgs),

    /// Look at what runs for a platform, and say what is wrong and what to do: changes nothing.
    #[command(after_help = DOCTOR_HELP)]
    Doctor(LiveArgs),

    /// Show how far each stream of a platform is, and why it is late.
    #[command(after_help = STATUS_HELP)]
    Status(LiveArgs),

    /// Run the whole path on this machine, with a private Postgres and simulated changes.
    #[command(after_help = "\
Examples:
  milepost demo                              in a checkout of Milepost; `make demo` builds what it needs
  milepost demo --keep                       and leaves the Postgres running, to look around
  milepost demo --seed 7                     another history")]
    Demo(DemoArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct LintArgs {
    /// The model: every *.yaml and *.yml below is read, hidden files and folders are not
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,

    /// The day that rules about dates go by; no rule of this release looks at it
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) today: Option<NaiveDate>,

    /// For whom to write
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ReportFormat,
}

/// For whom a report is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// People: each problem with the lines that it is about
    #[default]
    Human,
    /// Scripts: one JSON document with a version
    Json,
    /// GitHub Actions: an annotation per problem
    Github,
    /// Code scanning: SARIF 2.1.0
    Sarif,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct GraphArgs {
    /// The model's directory
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,

    /// This platform only
    #[arg(long, value_name = "NAME")]
    pub(crate) platform: Option<String>,

    /// The form of the graph
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: GraphFormatArg,
}

/// The form of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormatArg {
    /// Indented lines
    Text,
    /// A Mermaid flowchart, which GitHub draws
    Mermaid,
    /// Graphviz
    Dot,
    /// JSON with a version; several platforms are an array
    Json,
}

impl From<GraphFormatArg> for GraphFormat {
    fn from(format: GraphFormatArg) -> Self {
        match format {
            GraphFormatArg::Text => Self::Text,
            GraphFormatArg::Mermaid => Self::Mermaid,
            GraphFormatArg::Dot => Self::Dot,
            GraphFormatArg::Json => Self::Json,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RenderArgs {
    /// The model's directory
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,

    /// This platform only
    #[arg(long, value_name = "NAME")]
    pub(crate) platform: Option<String>,

    /// The directory that receives a folder per platform
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Write nothing; list what differs from the disk
    #[arg(long)]
    pub(crate) check: bool,

    /// Write DAGs for this Airflow instead of the one that the platform names
    #[arg(long, value_enum, value_name = "MAJOR")]
    pub(crate) airflow: Option<AirflowArg>,
}

/// A major version of Airflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AirflowArg {
    /// Airflow 2, from 2.11
    #[value(name = "2")]
    Two,
    /// Airflow 3
    #[value(name = "3")]
    Three,
}

impl From<AirflowArg> for AirflowVersion {
    fn from(version: AirflowArg) -> Self {
        match version {
            AirflowArg::Two => Self::Two,
            AirflowArg::Three => Self::Three,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SchemaArgs {
    /// The kind of document; without it, a schema that accepts each of them
    #[arg(value_parser = kind_parser())]
    pub(crate) kind: Option<Kind>,
}

fn kind_parser() -> impl clap::builder::TypedValueParser<Value = Kind> {
    use clap::builder::TypedValueParser as _;
    clap::builder::PossibleValuesParser::new(Kind::ALL.iter().map(|kind| kind.as_str())).map(
        |word| {
            let found = Kind::ALL.iter().find(|kind| kind.as_str() == word);
            *found.expect("the possible values are the kinds")
        },
    )
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// What is looked at while it runs.
#[derive(Debug, ClapArgs)]
pub(crate) struct LiveArgs {
    /// The model's directory
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,

    /// The platform
    #[arg(long, value_name = "NAME")]
    pub(crate) platform: String,

    /// For whom to write
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: LiveFormat,
}

/// For whom it is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LiveFormat {
    /// People
    #[default]
    Human,
    /// Scripts: one JSON document with a version
    Json,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DemoArgs {
    /// The model to run
    #[arg(long, value_name = "DIR", default_value = "examples/shop")]
    pub(crate) model: PathBuf,

    /// Where to render it
    #[arg(long, value_name = "DIR", default_value = "target/demo")]
    pub(crate) out: PathBuf,

    /// The seed of the simulated changes
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Leave the Postgres running at the end, and say how to connect
    #[arg(long)]
    pub(crate) keep: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_has_an_example() {
        let command = Args::command();
        command.clone().debug_assert();
        for command in command.get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string);
            assert!(
                help.is_some_and(|text| text.starts_with("Examples:\n  milepost ")),
                "{}",
                command.get_name()
            );
        }
    }
}
