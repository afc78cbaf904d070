//! The captured tables, and those of ours: are they there, with their keys, and may the connector use them.

use super::asked;
use crate::doctor::finding::{Finding, some};
use crate::live::source::{Captured, PostgresSource, SourceFacts, SourceTable, TableName};

pub(super) fn captured(what: &str, source: &PostgresSource, facts: &SourceFacts) -> Vec<Finding> {
    let tables = match &facts.tables {
        Ok(tables) => tables,
        Err(trouble) => return vec![asked(&format!("{what} tables"), trouble)],
    };
    let found: Vec<Finding> = source
        .tables
        .iter()
        .flat_map(|(name, captured)| table(what, source, name, captured, tables.get(name)))
        .collect();
    match found.is_empty() {
        true => vec![Finding::pass(
            &format!("{what} tables"),
            format!(
                "all {} exist with their keys, and can be read",
                source.tables.len()
            ),
        )],
        false => found,
    }
}

fn table(
    what: &str,
    source: &PostgresSource,
    name: &TableName,
    captured: &Captured,
    table: Option<&SourceTable>,
) -> Vec<Finding> {
    let what = format!("{what} table {name}");
    let quoted = name.quoted();
    let Some(table) = table else {
        return vec![Finding::fail(
            &what,
            "it does not exist",
            "make it, or take the dataset out of the model",
        )];
    };
    let mut findings = Vec::new();
    let missing: Vec<&String> = captured
        .columns
        .iter()
        .filter(|column| !table.columns.contains(*column))
        .collect();
    if !missing.is_empty() {
        findings.push(Finding::fail(
            &what,
            format!("it has no column {}", some(missing)),
            "add it, or take it out of the model",
        ));
    }
    if table.identity_columns.is_empty() {
        let why = match table.identity.as_str() {
            "n" => "its replica identity is nothing",
            _ => "it has no primary key",
        };
        // Without a key in the model nothing but inserts may be meant.
        findings.push(if captured.key.is_empty() {
            Finding::warn(
                &what,
                format!("{why}, so the source refuses updates and deletes of a published table; inserts are appended"),
                format!("`alter table {quoted} replica identity full`"),
            )
        } else {
            Finding::fail(
                &what,
                format!("{why}, so the source refuses updates and deletes of a published table, and none could be merged"),
                format!("`alter table {quoted} add primary key (…)`, or `alter table {quoted} replica identity full`"),
            )
        });
    } else if !captured.key.is_subset(&table.identity_columns) {
        findings.push(Finding::fail(
            &what,
            format!(
                "its replica identity is {}, the model's key {}: a delete would not name its row",
                some(&table.identity_columns),
                some(&captured.key)
            ),
            format!(
                "make the model's key the table's, or `alter table {quoted} replica identity full`"
            ),
        ));
    }
    if !table.readable {
        findings.push(Finding::fail(
            &what,
            format!("the user of `{}` may not read it, so it has no snapshot", source.user_variable),
            format!("`grant usage on schema …`, `grant select on {quoted} to …`; `prepare.sql` of the store has both"),
        ));
    }
    findings
}

pub(super) fn own(what: &str, source: &PostgresSource, facts: &SourceFacts) -> Vec<Finding> {
    let own = [
        ("signals", &source.signals),
        ("heartbeats", &source.heartbeat),
    ];
    let own = own
        .into_iter()
        .filter_map(|(of, table)| Some((of, table.as_ref()?)));
    let tables = match &facts.own_tables {
        Ok(tables) => tables,
        Err(trouble) => {
            return own
                .take(1)
                .map(|_| asked(&format!("{what} tables of ours"), trouble))
                .collect();
        }
    };
    let judged = |(of, name): (&str, &TableName)| {
        let what = format!("{what} table {name}");
        let prepare = "run `prepare.sql` of the store at the source";
        match tables.get(name) {
            Some(true) => Finding::pass(&what, format!("can be used for {of}")),
            Some(false) => Finding::fail(
                &what,
                format!(
                    "the user of `{}` may not use it for {of}",
                    source.user_variable
                ),
                prepare,
            ),
            None => Finding::fail(&what, "it does not exist", prepare),
        }
    };
    own.map(judged).collect()
}
