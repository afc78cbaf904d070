use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::spec::{
    AssignmentSpec, DatastoreSpec, EcosystemSpec, GovernanceZoneSpec, Kind, PlatformSpec, TeamSpec,
    WorkspaceSpec,
};

/// The JSON Schema of a kind of document, `kind` included; for editors and for tests.
#[must_use]
pub fn schema(kind: Kind) -> Value {
    let mut schema = match kind {
        Kind::Ecosystem => of::<EcosystemSpec>(),
        Kind::GovernanceZone => of::<GovernanceZoneSpec>(),
        Kind::Team => of::<TeamSpec>(),
        Kind::Datastore => of::<DatastoreSpec>(),
        Kind::Workspace => of::<WorkspaceSpec>(),
        Kind::Assignment => of::<AssignmentSpec>(),
        Kind::Platform => of::<PlatformSpec>(),
    };
    // `kind` is read before the rest of a document, and so belongs to no spec.
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("kind".to_owned(), json!({"const": kind.as_str()}));
    }
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.insert(0, json!("kind"));
    }
    schema
}

fn of<T: JsonSchema>() -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    forbid_null(&mut schema);
    schema
}

/// Takes null out of a schema: schemars lets an `Option` be null, and in the language a key that is there has a value.
fn forbid_null(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    fields.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
                choices.retain(|choice| *choice != json!({"type": "null"}));
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    fields.remove("anyOf");
                    fields.extend(only);
                }
            }
            fields.values_mut().for_each(forbid_null);
        }
        Value::Array(items) => items.iter_mut().for_each(forbid_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
