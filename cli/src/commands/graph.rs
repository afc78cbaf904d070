use milepost_dsl::{GraphFormat, IntentionGraph};
use milepost_job_spec::Outcome;

use crate::args::GraphArgs;
use crate::failure::Failure;
use crate::inspect::{Sound, inspect};
use crate::{output, report};

/// Prints the graph of one platform or of all; a model with errors has none.
pub(super) fn run(args: &GraphArgs) -> Result<Outcome, Failure> {
    let inspection = inspect(&args.dir)?;
    let Some(Sound { model, graphs }) = inspection.sound(args.platform.as_deref())? else {
        report::refuse(&inspection, "a model with errors has no graph");
        return Ok(Outcome::Findings);
    };
    let format = GraphFormat::from(args.format);
    let text = |graph: &IntentionGraph| graph.to_text(model, format);
    output::data(&match (format, graphs.as_slice()) {
        // Several documents in a row are no JSON, several drawings one after the other are what their tools accept.
        (GraphFormat::Json, [_, _, ..] | []) => {
            let each: Vec<String> = graphs
                .iter()
                .map(|graph| text(graph).trim_end().to_owned())
                .collect();
            format!("[{}]\n", each.join(",\n"))
        }
        _ => graphs.iter().map(text).collect(),
    });
    Ok(Outcome::Done)
}
