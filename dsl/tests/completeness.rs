//! The comparison finds every attribute of every kind, and the gate refuses each to everybody but its owner.
//!
//! The attributes are those of the JSON Schema, which comes from the same declaration as the spec. Each is changed in a
//! model that uses all of them; the comparison must find exactly that change.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;

use milepost_dsl::compare::{Difference, Ownership, Verdict, differences};
use milepost_dsl::scalar::Repository;
use milepost_dsl::spec::{Kind, ModelSpec};
use milepost_dsl::{Sources, parse, schema};
use serde_json::{Value, json};

/// How many attributes the language has. A fall means that the comparison lost sight of something.
const ATTRIBUTES: usize = 110;

/// A model in which every attribute of every kind is written at least once.
const MODEL: &str = include_str!("completeness.yaml");

const ECOSYSTEM: &str = "github:acme/model@ecosystem";
const ZONE: &str = "github:acme/model@europe";
const TEAM: &str = "github:acme/sales@main";
const OTHER_TEAM: &str = "github:acme/support@main";
const PLATFORM: &str = "github:acme/platform@main";
const OTHER_PLATFORM: &str = "github:acme/other-platform@main";
const LIVE: &str = "github:acme/model@main";
const EVERYBODY: [&str; 7] = [
    ECOSYSTEM,
    ZONE,
    TEAM,
    OTHER_TEAM,
    PLATFORM,
    OTHER_PLATFORM,
    LIVE,
];

/// The documents as JSON, which is YAML as well.
fn documents() -> Vec<Value> {
    MODEL
        .split("\n---\n")
        .map(|document| serde_yaml::from_str(document).unwrap())
        .collect()
}

fn spec(documents: &[Value]) -> ModelSpec {
    // `kind` must come first, and a JSON object has its own order of keys.
    let text: Vec<String> = documents
        .iter()
        .map(|document| {
            let mut rest = document.clone();
            let kind = rest.as_object_mut().unwrap().remove("kind").unwrap();
            let rest = rest.to_string();
            format!("{{\"kind\": {kind}, {}\n", rest.strip_prefix('{').unwrap())
        })
        .collect();
    let sources: Sources = [("model.yaml", text.join("---\n"))].into_iter().collect();
    let parsed = parse(&sources);
    // Another version of the language can be compared; it is a finding, not a text that cannot be read.
    let findings: String = parsed
        .diagnostics
        .iter()
        .filter(|found| found.rule.as_str() != "language")
        .map(|found| found.to_plain(&sources))
        .collect();
    assert_eq!(findings, "", "in {}", sources.text(sources.ids()[0]));
    parsed.spec
}

/// An attribute of a kind where it stands in the model.
#[derive(Debug, Clone)]
struct Attribute {
    kind: Kind,
    /// Which document.
    document: usize,
    /// Its place in the document, as JSON keys and places.
    pointer: String,
    /// Its path as the comparison calls it.
    path: String,
    /// The struct of the schema and its field.
    identity: (String, String),
    schema: Value,
    required: bool,
}

struct Walk<'a> {
    kind: Kind,
    document: usize,
    root: &'a Value,
    found: Vec<Attribute>,
}

impl Walk<'_> {
    fn target<'v>(&'v self, schema: &'v Value) -> (&'v Value, String) {
        match schema.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                let name = reference.strip_prefix("#/$defs/").unwrap();
                (&self.root["$defs"][name], name.to_owned())
            }
            None => (schema, String::new()),
        }
    }

    fn walk(&mut self, schema: &Value, value: &Value, pointer: &str, path: &str, outer: &str) {
        let (target, name) = self.target(schema);
        let (target, name) = (
            target.clone(),
            if name.is_empty() {
                outer.to_owned()
            } else {
                name
            },
        );
        for choice in target
            .get("oneOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let fields = choice["properties"].as_object().unwrap();
            if fields.keys().all(|key| value.get(key).is_some()) {
                self.walk(choice, value, pointer, path, &name);
            }
        }
        let join = |key: &str| match path {
            "" => key.to_owned(),
            _ => format!("{path}.{key}"),
        };
        for (key, field) in target
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            if key == "kind" {
                continue;
            }
            let Some(inner) = value.get(key) else {
                continue;
            };
            let required = target["required"]
                .as_array()
                .is_some_and(|required| required.contains(&json!(key)));
            let pointer = format!("{pointer}/{key}");
            let path = join(key);
            self.found.push(Attribute {
                kind: self.kind,
                document: self.document,
                pointer: pointer.clone(),
                path: path.clone(),
                identity: (name.clone(), key.clone()),
                schema: self.target(field).0.clone(),
                required,
            });
            self.walk(field, inner, &pointer, &path, &name);
        }
        // A map of names: its values are walked, its keys are changed with the map.
        let values = target.get("additionalProperties").into_iter().chain(
            target
                .get("patternProperties")
                .and_then(Value::as_object)
                .into_iter()
                .flat_map(|map| map.values()),
        );
        if target.get("properties").is_none() {
            for schema in values.filter(|schema| schema.is_object()) {
                for (key, inner) in value.as_object().unwrap() {
                    let escaped = key.replace('~', "~0").replace('/', "~1");
                    self.walk(
                        schema,
                        inner,
                        &format!("{pointer}/{escaped}"),
                        &join(key),
                        &name,
                    );
                }
            }
        }
        if let Some(items) = target.get("items") {
            for (place, inner) in value.as_array().unwrap().iter().enumerate() {
                let item = inner.get("name").unwrap_or(inner);
                let path = format!("{path}[{}]", item.as_str().unwrap());
                self.walk(items, inner, &format!("{pointer}/{place}"), &path, &name);
            }
        }
    }
}

fn attributes(documents: &[Value]) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    for (place, document) in documents.iter().enumerate() {
        let kind = *Kind::ALL
            .iter()
            .find(|kind| document["kind"] == kind.as_str())
            .unwrap();
        let root = schema(kind);
        let mut walk = Walk {
            kind,
            document: place,
            root: &root,
            found: Vec::new(),
        };
        walk.walk(&root, document, "", "", kind.as_str());
        attributes.extend(walk.found);
    }
    attributes
}

/// Every struct and field that the schemas know.
fn known_to_schemas() -> BTreeSet<(String, String)> {
    let mut known = BTreeSet::new();
    for kind in Kind::ALL {
        let root = schema(*kind);
        let mut add = |name: &str, schema: &Value| {
            let choices = schema
                .get("oneOf")
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            for object in choices.chain([schema]) {
                let fields = object.get("properties").and_then(Value::as_object);
                for key in fields
                    .into_iter()
                    .flat_map(|fields| fields.keys())
                    .filter(|key| *key != "kind")
                {
                    known.insert((name.to_owned(), key.clone()));
                }
            }
        };
        add(kind.as_str(), &root);
        for (name, definition) in root["$defs"].as_object().unwrap() {
            add(name, definition);
        }
    }
    known
}

/// Other values that an attribute may have, with the paths that must differ for each; none stands for absence.
fn mutations(attribute: &Attribute, value: &Value) -> Vec<(Option<Value>, BTreeSet<String>)> {
    let here: BTreeSet<String> = [attribute.path.clone()].into();
    let mut mutations = Vec::new();
    if !attribute.required {
        mutations.push((None, here.clone()));
    }
    let schema = &attribute.schema;
    if let Some(other) = other_scalar(schema, value) {
        let paths = renamed(attribute, &other).unwrap_or(here);
        mutations.push((Some(other), paths));
    } else if let Some(items) = value.as_array() {
        let shorter = &items[..items.len() - 1];
        let last = items.last().unwrap();
        let name = last.get("name").unwrap_or(last).as_str().unwrap();
        mutations.push((
            Some(shorter.into()),
            [format!("{}[{name}]", attribute.path)].into(),
        ));
        if items.len() > 1 {
            let reversed: Vec<Value> = items.iter().rev().cloned().collect();
            mutations.push((
                Some(reversed.into()),
                [format!("{}[order]", attribute.path)].into(),
            ));
        }
    } else if let Some(fields) = value.as_object()
        && schema.get("properties").is_none()
        && schema.get("oneOf").is_none()
    {
        let Some(key) = fields.keys().next() else {
            return mutations;
        };
        let mut fewer = fields.clone();
        fewer.remove(key);
        mutations.push((
            Some(fewer.into()),
            [format!("{}.{key}", attribute.path)].into(),
        ));
    } else if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
        let chosen = value.as_object().unwrap().keys().next().unwrap();
        let settings = |choice: &str| {
            let of_choice = |one: &&Value| one["required"][0] == choice;
            choices.iter().find(of_choice).unwrap()["properties"][choice]["$ref"].clone()
        };
        for other in choices
            .iter()
            .filter_map(|choice| choice["required"][0].as_str())
            .filter(|other| other != chosen)
        {
            // No value is made up: the other choice has no settings, or the same ones.
            let other_value = if ["live-only", "append", "external"].contains(&other) {
                json!({})
            } else if settings(other) == settings(chosen) {
                value[chosen].clone()
            } else {
                continue;
            };
            let paths =
                [chosen.as_str(), other].map(|choice| format!("{}.{choice}", attribute.path));
            mutations.push((Some(json!({other: other_value})), paths.into()));
        }
    }
    mutations
}

/// Another value for a text, number or truth value.
fn other_scalar(schema: &Value, value: &Value) -> Option<Value> {
    match value {
        Value::Bool(value) => Some(json!(!value)),
        _ if schema.get("enum").is_some() || schema.get("examples").is_some() => {
            let choices = schema
                .get("enum")
                .or_else(|| schema.get("examples"))
                .unwrap();
            choices
                .as_array()
                .unwrap()
                .iter()
                .find(|choice| *choice != value)
                .cloned()
        }
        Value::Number(value) => Some(json!(value.as_u64().unwrap() + 1)),
        _ => None,
    }
}

/// A thing with another name is another thing: the paths of both.
fn renamed(attribute: &Attribute, other: &Value) -> Option<BTreeSet<String>> {
    let identifies = match attribute.kind {
        Kind::Assignment => true,
        _ => attribute.path == "name",
    };
    if identifies {
        return Some([String::new()].into());
    }
    let item = attribute.path.strip_suffix("].name")?;
    let (list, _) = item.rsplit_once('[').unwrap();
    let other = other.as_str().unwrap();
    // The order of common items stays, so the two items are all that differs.
    Some([format!("{item}]"), format!("{list}[{other}]")].into())
}

fn changed(documents: &[Value], attribute: &Attribute, value: Option<Value>) -> Vec<Value> {
    let mut documents = documents.to_vec();
    let document = &mut documents[attribute.document];
    match value {
        Some(value) => *document.pointer_mut(&attribute.pointer).unwrap() = value,
        None => {
            let (outer, key) = attribute.pointer.rsplit_once('/').unwrap();
            document
                .pointer_mut(outer)
                .unwrap()
                .as_object_mut()
                .unwrap()
                .remove(key);
        }
    }
    documents
}

fn owner(difference: &Difference) -> &'static str {
    match difference.kind {
        Kind::Ecosystem => ECOSYSTEM,
        Kind::GovernanceZone => ZONE,
        Kind::Team if difference.name == "europe/support" => OTHER_TEAM,
        Kind::Team | Kind::Datastore | Kind::Workspace => TEAM,
        Kind::Platform if difference.name == "other" => OTHER_PLATFORM,
        Kind::Platform | Kind::Assignment => PLATFORM,
    }
}

#[test]
fn the_model_of_this_test_uses_every_attribute() {
    let used: BTreeSet<_> = attributes(&documents())
        .into_iter()
        .map(|found| found.identity)
        .collect();
    let known = known_to_schemas();
    let unused: Vec<_> = known.difference(&used).collect();
    assert!(unused.is_empty(), "add to completeness.yaml: {unused:?}");
    assert_eq!(
        known.len(),
        ATTRIBUTES,
        "the language changed: pin the new count, if it did not fall"
    );
}

#[test]
fn the_documentation_names_every_key() {
    let text = include_str!("../../docs/language.md");
    let words: BTreeSet<&str> = text
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .collect();
    let unnamed: BTreeSet<String> = known_to_schemas()
        .into_iter()
        .map(|(_, key)| key)
        .filter(|key| !words.contains(key.as_str()))
        .collect();
    assert_eq!(unnamed, BTreeSet::new());
}

#[test]
fn the_comparison_finds_every_changed_attribute_and_nothing_else() {
    let documents = documents();
    let base = spec(&documents);
    assert!(differences(&base, &base).is_empty());
    let mut mutated = BTreeSet::new();
    for attribute in attributes(&documents) {
        let value = documents[attribute.document]
            .pointer(&attribute.pointer)
            .unwrap()
            .clone();
        for (other, expected) in mutations(&attribute, &value) {
            let head = spec(&changed(&documents, &attribute, other.clone()));
            let found: BTreeSet<String> = differences(&base, &head)
                .into_iter()
                .map(|found| found.path)
                .collect();
            assert_eq!(found, expected, "{attribute:?} became {other:?}");
            mutated.insert(attribute.identity.clone());
        }
    }
    // A choice with one possibility and a struct of required fields cannot change as a whole: their fields do.
    let fixed: BTreeSet<_> = known_to_schemas().difference(&mutated).cloned().collect();
    insta::assert_debug_snapshot!(fixed);
}

#[test]
fn every_changed_attribute_is_refused_to_everybody_but_its_owner() {
    let documents = documents();
    let base = spec(&documents);
    let ownership = Ownership::of(&base);
    for attribute in attributes(&documents) {
        let value = documents[attribute.document]
            .pointer(&attribute.pointer)
            .unwrap()
            .clone();
        for (other, _) in mutations(&attribute, &value) {
            let head = spec(&changed(&documents, &attribute, other.clone()));
            let found = differences(&base, &head);
            let mut allowed = 0;
            for difference in &found {
                for repository in EVERYBODY {
                    let head: Repository = repository.parse().unwrap();
                    let verdict = ownership.judge(difference, &head);
                    if repository == owner(difference) {
                        allowed += usize::from(verdict == Verdict::Allowed);
                    } else {
                        assert_ne!(verdict, Verdict::Allowed, "{difference:?} by {repository}");
                    }
                }
            }
            // A thing that gets an undeclared name is taken from its owner but given to nobody; nor can a team give its
            // things to a team that does not exist.
            let moved = found.iter().all(|difference| difference.path == "team");
            assert!(
                allowed > 0 || moved,
                "nobody may make the change of {attribute:?} to {other:?}"
            );
        }
    }
}

#[test]
fn a_store_moves_to_another_team_only_with_both_teams() {
    let documents = documents();
    let base = spec(&documents);
    let ownership = Ownership::of(&base);
    let mut head = documents;
    let store = head
        .iter_mut()
        .find(|document| document["kind"] == "Datastore")
        .unwrap();
    store["team"] = json!("europe/support");
    let found = differences(&base, &spec(&head));
    assert_eq!(found.len(), 1);
    for repository in EVERYBODY {
        let verdict = ownership.judge(&found[0], &repository.parse().unwrap());
        let owners = vec![TEAM.parse().unwrap(), OTHER_TEAM.parse().unwrap()];
        assert_eq!(verdict, Verdict::Refused { owners });
    }
}

#[test]
fn a_store_gets_another_origin_only_from_its_team() {
    let documents = documents();
    let base = spec(&documents);
    let ownership = Ownership::of(&base);
    let mut head = documents;
    let store = head
        .iter_mut()
        .find(|document| document["kind"] == "Datastore")
        .unwrap();
    store["ingestion"] = json!({"topics": {"connector": "mysql", "prefix": "shop"}});
    let found = differences(&base, &spec(&head));
    let paths: Vec<&str> = found.iter().map(|found| found.path.as_str()).collect();
    assert_eq!(paths, ["ingestion.cdc", "ingestion.topics"]);
    for difference in &found {
        for repository in EVERYBODY {
            let verdict = ownership.judge(difference, &repository.parse().unwrap());
            assert_eq!(
                verdict == Verdict::Allowed,
                repository == TEAM,
                "{repository}"
            );
        }
    }
}

#[test]
fn a_new_store_belongs_to_the_team_that_it_names_and_a_second_one_of_the_name_to_both() {
    let documents = documents();
    let base = spec(&documents);
    let ownership = Ownership::of(&base);
    let mut new = documents
        .iter()
        .find(|document| document["kind"] == "Datastore")
        .unwrap()
        .clone();
    new["team"] = json!("europe/support");
    let mut head = documents.clone();
    head.push(new.clone());
    let seized = differences(&base, &spec(&head));
    assert!(matches!(
        ownership.judge(&seized[0], &OTHER_TEAM.parse().unwrap()),
        Verdict::Refused { .. }
    ));
    new["name"] = json!("returns");
    *head.last_mut().unwrap() = new;
    let added = differences(&base, &spec(&head));
    assert_eq!(
        ownership.judge(&added[0], &OTHER_TEAM.parse().unwrap()),
        Verdict::Allowed
    );
    assert_ne!(
        ownership.judge(&added[0], &TEAM.parse().unwrap()),
        Verdict::Allowed
    );
}

#[test]
fn a_head_that_declares_itself_owner_is_not_believed() {
    let documents = documents();
    let base = spec(&documents);
    let ownership = Ownership::of(&base);
    let mut head = documents;
    let intruder = "github:mallory/model@main";
    head[0]["repository"] = json!(intruder);
    for difference in differences(&base, &spec(&head)) {
        assert!(matches!(
            ownership.judge(&difference, &intruder.parse().unwrap()),
            Verdict::Refused { .. }
        ));
    }
}

#[test]
fn moving_a_document_to_another_place_changes_nothing() {
    let mut moved = documents();
    moved.reverse();
    assert!(differences(&spec(&documents()), &spec(&moved)).is_empty());
}
