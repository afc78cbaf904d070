//! Terraform for Kafka Connect: the provider in `main.tf`, one file per store with its connectors, and the script that waits
//! until they run.

use milepost_platform::plan::{ConnectPlan, ConnectorFile, ConnectorPlan};
use serde::Serialize;

use crate::engine::{Template, TemplateError};

const MAIN: Template = Template {
    path: "terraform/main.tf.tera",
    text: include_str!("../../templates/terraform/main.tf.tera"),
};
const STORE: Template = Template {
    path: "terraform/store.tf.tera",
    text: include_str!("../../templates/terraform/store.tf.tera"),
};

/// `wait-for-running.sh`, the same for every plan.
pub(crate) const WAIT_FOR_RUNNING: &str =
    include_str!("../../templates/terraform/wait-for-running.sh");

/// What `terraform/main.tf.tera` sees.
#[derive(Serialize)]
struct MainContext<'a> {
    connect_url: &'a str,
}

/// What `terraform/store.tf.tera` sees.
#[derive(Serialize)]
struct StoreContext<'a> {
    connectors: Vec<ConnectorContext<'a>>,
}

#[derive(Serialize)]
struct ConnectorContext<'a> {
    resource: &'a str,
    name: &'a str,
    config: Vec<SettingContext<'a>>,
    /// The columns of the longest key as a literal: `terraform fmt` aligns what stands behind.
    key_width: usize,
    protected: bool,
    after: Option<&'a str>,
}

#[derive(Serialize)]
struct SettingContext<'a> {
    key: &'a str,
    value: &'a str,
}

/// `main.tf`.
pub(crate) fn main_file(plan: &ConnectPlan) -> Result<String, TemplateError> {
    MAIN.render(&MainContext {
        connect_url: &plan.url,
    })
}

/// The connectors of a store.
pub(crate) fn store_file(file: &ConnectorFile) -> Result<String, TemplateError> {
    STORE.render(&StoreContext {
        connectors: file.connectors.iter().map(connector).collect(),
    })
}

fn connector(plan: &ConnectorPlan) -> ConnectorContext<'_> {
    // Kafka Connect demands that a configuration repeats the connector's name.
    let name = ("name", plan.name.as_str());
    let config = plan
        .config
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    let mut settings: Vec<(&str, &str)> = config.chain([name]).collect();
    settings.sort_unstable();
    ConnectorContext {
        resource: &plan.resource,
        name: &plan.name,
        key_width: settings
            .iter()
            .map(|(key, _)| key.len() + 2)
            .max()
            .unwrap_or(0),
        config: settings
            .into_iter()
            .map(|(key, value)| SettingContext { key, value })
            .collect(),
        protected: plan.protected,
        after: plan.after.as_deref(),
    }
}
