//! Connectors as `KafkaConnector` resources of Strimzi, one file per store.

use milepost_platform::plan::{ConnectorFile, ConnectorPlan};
use serde::Serialize;

use crate::engine::{Template, TemplateError};

const STORE: Template = Template {
    path: "strimzi/store.yaml.tera",
    text: include_str!("../../templates/strimzi/store.yaml.tera"),
};

/// Settings that are fields of the resource; the operator refuses them in its `config`.
const CLASS: &str = "connector.class";
const TASKS: &str = "tasks.max";

/// What `strimzi/store.yaml.tera` sees.
#[derive(Serialize)]
struct StoreContext<'a> {
    namespace: &'a str,
    cluster: &'a str,
    connectors: Vec<ConnectorContext<'a>>,
}

#[derive(Serialize)]
struct ConnectorContext<'a> {
    name: &'a str,
    class: Option<&'a str>,
    tasks: Option<u32>,
    config: Vec<SettingContext<'a>>,
}

#[derive(Serialize)]
struct SettingContext<'a> {
    key: &'a str,
    value: &'a str,
}

/// The connectors of a store.
pub(crate) fn store_file(
    file: &ConnectorFile,
    namespace: &str,
    cluster: &str,
) -> Result<String, TemplateError> {
    STORE.render(&StoreContext {
        namespace,
        cluster,
        connectors: file.connectors.iter().map(connector).collect(),
    })
}

fn connector(plan: &ConnectorPlan) -> ConnectorContext<'_> {
    let setting = |name| plan.config.get(name).map(String::as_str);
    ConnectorContext {
        name: &plan.name,
        class: setting(CLASS),
        tasks: setting(TASKS).and_then(|tasks| tasks.parse().ok()),
        config: plan
            .config
            .iter()
            .filter(|(key, _)| ![CLASS, TASKS].contains(&key.as_str()))
            .map(|(key, value)| SettingContext { key, value })
            .collect(),
    }
}
