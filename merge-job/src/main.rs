//! The `merge-job` command: arguments in, exit code out. Results go to stdout, messages to stderr.

mod args;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use milepost_job_spec::{OnTruncate, Outcome, StreamKey, StreamSpec};
use milepost_merge_job::batch::Missing;
use milepost_merge_job::error::Error;
use milepost_merge_job::publish::{self, Mode, Published};
use milepost_merge_job::reconcile_views;
use milepost_merge_job::session::Session;
use milepost_merge_job::shard::Shard;
use milepost_merge_job::trim::{self, Trimmed};
use milepost_merge_job::verify::{self, Scope};
use milepost_merge_job::{
    MergeRequest, MergeTarget, database, ddl, merge_shard, merge_stream, migrate, retry,
    until_stopped,
};
use tokio_postgres::Config;
use tracing_subscriber::EnvFilter;

use crate::args::trim::TrimArguments;
use crate::args::{
    Arguments, Command, DdlArguments, Format, MergeArguments, PublishArguments,
    ReconcileViewsArguments, ScopeArguments, TruncatePolicy, VerifyArguments,
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log();
    let outcome = match run(arguments.command) {
        Ok(outcome) => outcome,
        // Whoever read our output has had enough of it: no failure.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Outcome::Done,
        Err(error) => {
            tell(&error, "");
            retry::outcome(&error)
        }
    };
    ExitCode::from(outcome.code())
}

/// One thread is enough: the database does the work.
fn run(command: Command) -> Result<Outcome, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Usage(format!("the runtime does not start: {error}")))?;
    let ended = runtime.block_on(until_stopped(stopped(), work(command)));
    // Whoever waits for standard input would wait on.
    runtime.shutdown_background();
    ended
}

async fn work(command: Command) -> Result<Outcome, Error> {
    match command {
        Command::Migrate => migrate().await,
        Command::Publish(arguments) => publish(&arguments).await,
        Command::Merge(arguments) => merge(arguments).await,
        Command::Verify(arguments) => verify(arguments).await,
        Command::ReconcileViews(arguments) => reconcile_views(&arguments).await,
        Command::MigrateTables(arguments) => {
            let (text, outcome) = arguments.run().await?;
            print(&text)?;
            Ok(outcome)
        }
        Command::Quarantine(arguments) => print(&arguments.run().await?),
        Command::Rebuild(arguments) => print(&arguments.run().await?),
        Command::Resync(arguments) => {
            let (text, stopped) = arguments.run().await?;
            print(&text)?;
            stopped.map_or(Ok(Outcome::Done), Err)
        }
        Command::Topics(arguments) => print(&arguments.run().await?),
        Command::TrimStaging(arguments) => trim_staging(arguments).await,
        Command::TrimHistory(arguments) => trim_history(arguments).await,
        Command::RemoveUnusedTables(arguments) => {
            let report = arguments.run().await?;
            print(&format!("{report}\n"))?;
            Ok(tell_all(&report.failures))
        }
        Command::Erase(arguments) => print(&arguments.run().await?),
        Command::Ddl(arguments) => print_ddl(&arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "merge-job", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    }
}

async fn migrate() -> Result<Outcome, Error> {
    let session = Session::connect(&database::config_from_environment(None)?).await?;
    let done = match migrate::migrate(&session).await? {
        0 => "is",
        _ => "is now",
    };
    print(&format!(
        "control schema `milepost` {done} at version {}\n",
        migrate::CONTROL_VERSION
    ))
}

async fn publish(arguments: &PublishArguments) -> Result<Outcome, Error> {
    let mode = if arguments.dry_run {
        Mode::DryRun
    } else {
        Mode::Write
    };
    let publications = publish::read(&arguments.from)?;
    let mut failures = 0;
    for publication in &publications {
        let config = database::config_from_environment(Some(&publication.plan.database))?;
        let session = Session::connect(&config).await?;
        let published: Published = publish::publish_platform(&session, publication, mode).await?;
        print(&format!("{published}\n"))?;
        for (stream, error) in &published.failures {
            tell(error, &format!("stream {stream}: "));
        }
        failures += published.failures.len();
    }
    Ok(if failures == 0 {
        Outcome::Done
    } else {
        Outcome::Findings
    })
}

async fn merge(arguments: MergeArguments) -> Result<Outcome, Error> {
    let MergeArguments {
        platform,
        store,
        dataset,
        spec,
        truncate,
        allow_missing,
        shard,
    } = arguments;
    let config = database::config_from_environment(None)?;
    if let (Some(platform), Some(shard)) = (&platform, shard) {
        return merge_share(platform, shard, &config).await;
    }
    let truncate = truncate.map(|policy| match policy {
        TruncatePolicy::CloseAll => OnTruncate::CloseAll,
        TruncatePolicy::Ignore => OnTruncate::Ignore,
    });
    let target = match (spec, platform, store) {
        (Some(file), _, _) => MergeTarget::Spec(file),
        (None, Some(platform), Some(store)) => MergeTarget::Stream(StreamKey {
            platform,
            store,
            dataset,
        }),
        (None, _, _) => {
            return Err(Error::Usage(
                "give --platform and --store, or --spec".to_owned(),
            ));
        }
    };
    let missing = if allow_missing {
        Missing::Allowed
    } else {
        Missing::Guarded
    };
    let request = MergeRequest {
        target,
        truncate,
        missing,
    };
    let summary = merge_stream(&request, &config).await?;
    print(&format!("{summary}\n"))
}

async fn merge_share(platform: &str, shard: Shard, config: &Config) -> Result<Outcome, Error> {
    let worked = merge_shard(platform, shard, config).await?;
    print(&format!("{worked}\n"))?;
    for (stream, error) in &worked.failures {
        tell(error, &format!("stream {stream}: "));
    }
    Ok(if !worked.failures.is_empty() {
        Outcome::Findings
    } else if worked.is_held() {
        Outcome::Held
    } else {
        Outcome::Done
    })
}

/// Ready when Airflow, Kubernetes or a person at the terminal asks us to stop.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn verify(arguments: VerifyArguments) -> Result<Outcome, Error> {
    let VerifyArguments {
        scope:
            ScopeArguments {
                platform,
                store,
                dataset,
            },
        format,
        show_keys,
        source,
        settle,
    } = arguments;
    let session = Session::connect(&database::config_from_environment(None)?).await?;
    let scope = Scope {
        platform,
        store,
        dataset,
        show_keys,
    };
    let mut report = verify::verify(&session, &scope).await?;
    if source {
        let settle = std::time::Duration::from_secs(settle);
        verify::with_source(&session, &scope, settle, &mut report).await?;
    }
    print(&match format {
        Format::Human => report.to_text(),
        Format::Json => report.to_json(),
    })?;
    Ok(if report.has_errors() {
        Outcome::Findings
    } else {
        Outcome::Done
    })
}

async fn reconcile_views(arguments: &ReconcileViewsArguments) -> Result<Outcome, Error> {
    let mode = if arguments.dry_run {
        reconcile_views::Mode::DryRun
    } else {
        reconcile_views::Mode::Write
    };
    let session = Session::connect(&database::config_from_environment(None)?).await?;
    let reconciled = reconcile_views::reconcile_views(&session, mode).await?;
    print(&format!("{reconciled}\n"))?;
    for (place, error) in &reconciled.failures {
        tell(error, &format!("{place}: "));
    }
    Ok(if reconciled.failures.is_empty() {
        Outcome::Done
    } else {
        Outcome::Findings
    })
}

async fn trim_staging(arguments: TrimArguments) -> Result<Outcome, Error> {
    let (scope, mode) = arguments.into_parts();
    let session = Session::connect(&database::config_from_environment(None)?).await?;
    print_trimmed(&trim::trim_staging(&session, &scope, mode).await?)
}

async fn trim_history(arguments: TrimArguments) -> Result<Outcome, Error> {
    let (scope, mode) = arguments.into_parts();
    let session = Session::connect(&database::config_from_environment(None)?).await?;
    print_trimmed(&trim::trim_history(&session, &scope, mode).await?)
}

fn print_trimmed(trimmed: &Trimmed) -> Result<Outcome, Error> {
    print(&format!("{trimmed}\n"))?;
    Ok(tell_all(&trimmed.failures))
}

/// Tells what went wrong while all else was done. What a merge holds is left to the next run; anything else wants a person.
fn tell_all(failures: &[(String, Error)]) -> Outcome {
    let mut outcome = Outcome::Done;
    for (place, error) in failures {
        tell(error, &format!("{place}: "));
        outcome = match (outcome, retry::outcome(error)) {
            (Outcome::Done | Outcome::Held, Outcome::Held) => Outcome::Held,
            _ => Outcome::Findings,
        };
    }
    outcome
}

fn print_ddl(arguments: &DdlArguments) -> Result<Outcome, Error> {
    let place = arguments.spec.display().to_string();
    let text = std::fs::read_to_string(&arguments.spec).map_err(|source| Error::Read {
        path: place.clone(),
        source,
    })?;
    let spec = StreamSpec::from_json(&text).map_err(|source| Error::Spec { place, source })?;
    print(&ddl::ddl(&spec)?)
}

fn print(text: &str) -> Result<Outcome, Error> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(Error::Output)?;
    Ok(Outcome::Done)
}

/// Tells an error and what to do about it. A stderr that is gone cannot be told.
fn tell(error: &Error, place: &str) {
    let _ = writeln!(
        io::stderr(),
        "error: {place}{}\nhint: {}",
        error.chain(),
        retry::hint(error)
    );
}

fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    if std::env::var("MILEPOST_LOG_FORMAT").is_ok_and(|format| format == "json") {
        log.json().init();
    } else {
        let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        log.with_ansi(colour).with_target(false).init();
    }
}
