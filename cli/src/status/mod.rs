//! `milepost status`: facts → a line per stream.

mod line;
mod report;

use milepost_job_spec::Outcome;

use crate::args::{LiveArgs, LiveFormat};
use crate::failure::Failure;
use crate::live::{connect, platform, secret};
use crate::{inspect, output};
use line::Status;

/// Tells how far each stream of a platform is.
pub(crate) fn run(args: &LiveArgs) -> Result<Outcome, Failure> {
    let Some(plan) = inspect::planned(&args.dir, &args.platform)? else {
        return Ok(Outcome::Usage);
    };
    let (streams, connectors) = crate::live::runtime()?.block_on(async {
        tokio::join!(
            platform::stream_facts(&plan),
            connect::states(&plan.connect)
        )
    });
    let place = platform::place(&plan.index.database);
    let refused = |trouble: &crate::live::Trouble, help: &str| {
        Failure::new(trouble.outcome(), format!("postgres {place}: {trouble}")).with_help(help)
    };
    let streams = match streams {
        Ok(Some(streams)) => streams,
        Ok(None) => {
            return Err(
                Failure::usage(format!("postgres {place}: it has no control tables"))
                    .with_help("`merge-job migrate`, then `merge-job publish --from DIR`"),
            );
        }
        Err(trouble) => {
            let help = format!("`milepost doctor --platform {}` says more", args.platform);
            return Err(refused(&trouble, &help));
        }
    };
    let status = Status::of(&plan, &streams, &connectors).without(&secret::known(&plan));
    output::data(&match args.format {
        LiveFormat::Human => report::human(&status),
        LiveFormat::Json => report::json(&status),
    });
    Ok(status.outcome())
}
