use milepost_dsl::schema;
use milepost_dsl::spec::Kind;
use milepost_job_spec::Outcome;
use serde_json::{Value, json};

use crate::args::SchemaArgs;
use crate::output;

/// Prints the JSON Schema of a kind, or one that accepts every kind.
pub(super) fn run(args: &SchemaArgs) -> Outcome {
    let schema = args.kind.map_or_else(any, schema);
    output::data(&format!("{schema:#}\n"));
    Outcome::Done
}

/// A document is of one of the kinds. Definitions of the kinds do not meet: each schema is embedded whole, with an id
/// of its own that its references start from.
fn any() -> Value {
    let kinds = Kind::ALL.iter().map(|&kind| {
        let mut schema = schema(kind);
        schema["$id"] = json!(format!("milepost:{kind}"));
        schema
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "oneOf": kinds.collect::<Vec<_>>(),
    })
}
