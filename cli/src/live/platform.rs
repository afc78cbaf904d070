//! What the platform's Postgres is, and what of the plan stands in it.

use std::collections::BTreeMap;

use milepost_job_spec::{CONTROL_SCHEMA, DatabaseAddress, PlatformPlan, TableRef};
use milepost_platform::plan::Plan;
use tokio_postgres::Config;
use tokio_postgres::types::Type;

use super::Answer;
use super::postgres::{self, Session, value};
use super::secret::Login;
use super::streams::{self, StreamFacts};

/// What is known of a platform's database that answers.
#[derive(Debug)]
pub(crate) struct PlatformFacts {
    pub(crate) server: Answer<PlatformServer>,
    /// By how many milliseconds its clock is ahead of ours.
    pub(crate) skew: Answer<i64>,
    /// The version of the control schema; none where there is no schema.
    pub(crate) control: Answer<Option<i32>>,
    /// What was published last; none where nothing was.
    pub(crate) published: Answer<Option<Published>>,
    /// Every table of the plan.
    pub(crate) tables: Answer<BTreeMap<TableRef, TableFact>>,
    pub(crate) streams: Answer<StreamFacts>,
}

/// A server and what our role may do in the database.
#[derive(Debug)]
pub(crate) struct PlatformServer {
    /// `server_version_num`: 150004.
    pub(crate) number: i32,
    /// For people.
    pub(crate) version: String,
    pub(crate) is_standby: bool,
    /// May the role make temporary tables? A batch keeps its events in them.
    pub(crate) temporary: bool,
}

/// The plan that merges run from.
#[derive(Debug)]
pub(crate) struct Published {
    /// The commit of its model.
    pub(crate) commit: String,
    /// The plan; none where another release wrote it.
    pub(crate) plan: Option<PlatformPlan>,
}

/// A table that the plan names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableFact {
    pub(crate) exists: bool,
    /// May the role select, insert and update?
    pub(crate) writable: bool,
    /// May it delete?
    pub(crate) deletable: bool,
}

/// Asks all that `doctor` wants to know.
pub(crate) async fn examine(plan: &Plan) -> Answer<PlatformFacts> {
    let session = connect(&plan.index.database).await?;
    let skew = session.skew().await;
    let server = server(&session).await;
    let control = control(&session).await;
    let has_control = matches!(control, Ok(Some(_)));
    Ok(PlatformFacts {
        server,
        skew,
        published: match has_control {
            true => published(&session, &plan.index.platform).await,
            false => Ok(None),
        },
        tables: tables(&session, &plan.index.tables).await,
        streams: streams::examine(&session, plan).await,
        control,
    })
}

/// The streams, and no more: what `status` wants to know. None where the database has no control schema.
pub(crate) async fn stream_facts(plan: &Plan) -> Answer<Option<StreamFacts>> {
    let session = connect(&plan.index.database).await?;
    match control(&session).await? {
        Some(_) => streams::examine(&session, plan).await.map(Some),
        None => Ok(None),
    }
}

/// Where the database is, for people.
pub(crate) fn place(address: &DatabaseAddress) -> String {
    use tokio_postgres::config::Host;
    match postgres::from_url() {
        Ok(Some(config)) => {
            let host = match config.get_hosts().first() {
                Some(Host::Tcp(host)) => host.clone(),
                Some(Host::Unix(path)) => path.display().to_string(),
                None => "localhost".to_owned(),
            };
            let port = config.get_ports().first().copied().unwrap_or(5432);
            let database = config.get_dbname().unwrap_or("postgres");
            format!("{host}:{port}/{database}")
        }
        Ok(None) => format!("{}:{}/{}", address.host, address.port, address.database),
        Err(_) => "of the environment".to_owned(),
    }
}

/// As `merge-job` does it: the URL of the environment, else the plan's address with the credential's variables.
fn config(address: &DatabaseAddress) -> Answer<Config> {
    if let Some(config) = postgres::from_url()? {
        return Ok(config);
    }
    let login = Login::from_environment(&address.user_variable, &address.password_variable)?;
    Ok(postgres::config(
        &address.host,
        address.port,
        &address.database,
        &login.user,
        login.password.reveal(),
    ))
}

async fn connect(address: &DatabaseAddress) -> Answer<Session> {
    Session::connect(&config(address)?).await
}

async fn server(session: &Session) -> Answer<PlatformServer> {
    let row = session
        .row(
            "select current_setting('server_version_num')::integer, current_setting('server_version'),
                    pg_is_in_recovery(), has_database_privilege(current_database(), 'TEMPORARY')",
            &[],
        )
        .await?;
    Ok(PlatformServer {
        number: value(&row, 0)?,
        version: value(&row, 1)?,
        is_standby: value(&row, 2)?,
        temporary: value(&row, 3)?,
    })
}

async fn control(session: &Session) -> Answer<Option<i32>> {
    let there = session
        .row(
            "select exists (select from pg_namespace n join pg_class c on c.relnamespace = n.oid
                             where n.nspname = $1 and c.relname = 'schema_version')",
            &[(&CONTROL_SCHEMA, Type::TEXT)],
        )
        .await?;
    if !value::<bool>(&there, 0)? {
        return Ok(None);
    }
    let sql = format!("select coalesce(max(version), 0) from {CONTROL_SCHEMA}.schema_version");
    let row = session.row(&sql, &[]).await?;
    value(&row, 0).map(Some)
}

async fn published(session: &Session, platform: &str) -> Answer<Option<Published>> {
    let sql = format!("select model_version, plan from {CONTROL_SCHEMA}.plans where platform = $1");
    let rows = session.rows(&sql, &[(&platform, Type::TEXT)]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let text: String = value(row, 1)?;
    Ok(Some(Published {
        commit: value(row, 0)?,
        plan: PlatformPlan::from_json(&text).ok(),
    }))
}

async fn tables(session: &Session, planned: &[TableRef]) -> Answer<BTreeMap<TableRef, TableFact>> {
    let schemas: Vec<&str> = planned.iter().map(|table| table.schema.as_str()).collect();
    let names: Vec<&str> = planned.iter().map(|table| table.name.as_str()).collect();
    let may = |privileges: &[&str]| {
        let each = privileges
            .iter()
            .map(|privilege| format!("has_table_privilege(c.oid, '{privilege}')"));
        let each: Vec<String> = each.collect();
        format!(
            "coalesce(has_schema_privilege(n.oid, 'USAGE') and {}, false)",
            each.join(" and ")
        )
    };
    let sql = format!(
        "select c.oid is not null, {}, {}\n  \
           from unnest($1::text[], $2::text[]) with ordinality as t(schema, name, place)\n  \
           left join pg_namespace n on n.nspname = t.schema\n  \
           left join pg_class c on c.relnamespace = n.oid and c.relname = t.name and c.relkind in ('r', 'p')\n \
          order by t.place",
        may(&["SELECT", "INSERT", "UPDATE"]),
        may(&["DELETE"]),
    );
    let rows = session
        .rows(
            &sql,
            &[(&schemas, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY)],
        )
        .await?;
    let mut found = BTreeMap::new();
    for (table, row) in planned.iter().zip(&rows) {
        let fact = TableFact {
            exists: value(row, 0)?,
            writable: value(row, 1)?,
            deletable: value(row, 2)?,
        };
        found.insert(table.clone(), fact);
    }
    Ok(found)
}
