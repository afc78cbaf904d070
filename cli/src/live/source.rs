//! What a source Postgres is, and what of it the connector needs. Sources of other kinds are asked by Kafka Connect alone.

use std::collections::{BTreeMap, BTreeSet};

use milepost_job_spec::TableRef;
use milepost_platform::plan::{CapturedDataset, ConnectorFile, Plan};
use tokio_postgres::types::Type;

use super::postgres::{self, Session, value};
use super::secret::Login;
use super::{Answer, Trouble};

/// The class of the connector whose source can be asked from here.
const POSTGRES: &str = "io.debezium.connector.postgresql.PostgresConnector";

/// A source Postgres as its connector is set up to find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PostgresSource {
    pub(crate) store: String,
    /// The connector that reads it.
    pub(crate) connector: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) database: String,
    pub(crate) user_variable: String,
    pub(crate) password_variable: String,
    pub(crate) slot: String,
    pub(crate) publication: String,
    /// The tables that are captured.
    pub(crate) tables: BTreeMap<TableName, Captured>,
    /// Where signals are written, if the connector looks for any.
    pub(crate) signals: Option<TableName>,
    /// The table that a heartbeat writes to.
    pub(crate) heartbeat: Option<TableName>,
    /// Where the owner's files note what a snapshot has read.
    pub(crate) ledger: Option<Ledger>,
}

/// What was captured, and what of it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) table: TableName,
    /// The datasets that a request can name.
    pub(crate) ids: Vec<String>,
}

/// A schema and a name, as the source has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TableName {
    pub(crate) schema: String,
    pub(crate) name: String,
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

impl TableName {
    /// Quoted for SQL that is shown.
    pub(crate) fn quoted(&self) -> String {
        let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        format!("{}.{}", quote(&self.schema), quote(&self.name))
    }
}

impl From<TableRef> for TableName {
    fn from(table: TableRef) -> Self {
        Self {
            schema: table.schema.to_string(),
            name: table.name.to_string(),
        }
    }
}

/// What the model says of a captured table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Captured {
    pub(crate) key: BTreeSet<String>,
    pub(crate) columns: Vec<String>,
}

impl PostgresSource {
    /// The source of a store whose connector reads a Postgres.
    pub(crate) fn of(file: &ConnectorFile, plan: &Plan) -> Option<Self> {
        let connector = file.connectors.iter().find(|connector| {
            connector.config.get("connector.class").map(String::as_str) == Some(POSTGRES)
        })?;
        let setting = |name: &str| connector.config.get(name).map(String::as_str);
        let files = plan.sources.iter().find(|files| files.store == file.store);
        let tables = files?.datasets.iter().map(captured);
        let signals = setting("signal.data.collection").map(name);
        let heartbeat = setting("heartbeat.action.query").map(|_| {
            let platform = plan.index.platform.as_str();
            milepost_platform::naming::source::heartbeat_table(platform, &file.store).into()
        });
        let ledger = files.map(|files| Ledger {
            table: files.captured.clone().into(),
            ids: files
                .datasets
                .iter()
                .filter(|dataset| dataset.request.is_some())
                .map(|dataset| dataset.id.clone())
                .collect(),
        });
        Some(Self {
            store: file.store.clone(),
            connector: connector.name.clone(),
            host: setting("database.hostname")?.to_owned(),
            port: setting("database.port")?.parse().ok()?,
            database: setting("database.dbname")?.to_owned(),
            user_variable: variable(setting("database.user")?)?,
            password_variable: variable(setting("database.password")?)?,
            slot: setting("slot.name")?.to_owned(),
            publication: setting("publication.name")?.to_owned(),
            tables: tables.collect(),
            signals,
            heartbeat,
            ledger,
        })
    }

    /// Where it is, for people.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.database)
    }
}

/// A table by the names that the source itself has for it and its columns; staging may have others.
fn captured(dataset: &CapturedDataset) -> (TableName, Captured) {
    let table = TableName {
        schema: dataset.schema.clone(),
        name: dataset.table.clone(),
    };
    let columns = serde_json::from_str(&dataset.columns).expect("a plan's columns are JSON");
    let key = dataset.key.iter().cloned().collect();
    (table, Captured { key, columns })
}

/// `schema.table` of a connector's list.
fn name(listed: &str) -> TableName {
    let (schema, name) = listed.split_once('.').unwrap_or(("public", listed));
    TableName {
        schema: schema.to_owned(),
        name: name.to_owned(),
    }
}

/// The variable of `${env:VARIABLE}`.
fn variable(reference: &str) -> Option<String> {
    let name = reference.strip_prefix("${env:")?.strip_suffix('}')?;
    Some(name.to_owned())
}

/// What is known of a source that answers.
#[derive(Debug)]
pub(crate) struct SourceFacts {
    pub(crate) server: Answer<SourceServer>,
    /// By how many milliseconds its clock is ahead of ours.
    pub(crate) skew: Answer<i64>,
    /// None where there is no such slot.
    pub(crate) slot: Answer<Option<Slot>>,
    /// None where there is no such publication.
    pub(crate) publication: Answer<Option<Publication>>,
    /// The captured tables that exist.
    pub(crate) tables: Answer<BTreeMap<TableName, SourceTable>>,
    /// The tables of signals and heartbeats that exist, and whether the role may do there what the connector does.
    pub(crate) own_tables: Answer<BTreeMap<TableName, bool>>,
    /// Datasets of which no snapshot has read every column.
    pub(crate) unread: Answer<Vec<String>>,
}

/// The server and the role.
#[derive(Debug, Clone)]
pub(crate) struct SourceServer {
    pub(crate) number: i32,
    pub(crate) version: String,
    pub(crate) wal_level: String,
    pub(crate) slots: i32,
    pub(crate) slots_used: i64,
    pub(crate) senders: i32,
    pub(crate) senders_used: i64,
    pub(crate) may_replicate: bool,
    /// How much log a slot may keep; none where that is unbounded.
    pub(crate) most_kept_bytes: Option<i64>,
}

/// A replication slot.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) plugin: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) active: bool,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub(crate) wal_status: Option<String>,
    /// Bytes of log that are kept for it.
    pub(crate) kept_bytes: Option<i64>,
}

/// A publication.
#[derive(Debug, Clone, Default)]
pub(crate) struct Publication {
    /// Inserts, updates, deletes: what it leaves out.
    pub(crate) left_out: Vec<String>,
    pub(crate) tables: BTreeSet<TableName>,
}

/// A captured table as it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct SourceTable {
    /// `d` its primary key, `f` all columns, `i` an index, `n` nothing.
    pub(crate) identity: String,
    /// The columns by which an update or a delete names its row; all of them where the identity is full.
    pub(crate) identity_columns: BTreeSet<String>,
    pub(crate) columns: BTreeSet<String>,
    /// Of the captured columns that exist, may the role read each?
    pub(crate) readable: bool,
}

/// Asks all that `doctor` wants to know.
pub(crate) async fn examine(source: &PostgresSource) -> Answer<SourceFacts> {
    let login = Login::from_environment(&source.user_variable, &source.password_variable)?;
    let config = postgres::config(
        &source.host,
        source.port,
        &source.database,
        &login.user,
        login.password.reveal(),
    );
    let session = Session::connect(&config).await?;
    // A snapshot marks its window in the table of signals; a heartbeat touches its row.
    let signals = source.signals.iter().map(|table| (table, "INSERT"));
    let own = signals.chain(source.heartbeat.iter().map(|table| (table, "UPDATE")));
    let own: Vec<(&TableName, &str)> = own.collect();
    Ok(SourceFacts {
        server: server(&session).await,
        skew: session.skew().await,
        slot: slot(&session, &source.slot).await,
        publication: publication(&session, &source.publication).await,
        tables: tables(&session, &source.tables).await,
        own_tables: own_tables(&session, &own).await,
        unread: match &source.ledger {
            Some(ledger) => unread(&session, ledger).await,
            None => Ok(Vec::new()),
        },
    })
}

async fn server(session: &Session) -> Answer<SourceServer> {
    // Managed services have no role with the attribute, they have a role of their own to be a member of.
    let row = session
        .row(
            "select current_setting('server_version_num')::integer, current_setting('server_version'),
                    current_setting('wal_level'),
                    current_setting('max_replication_slots')::integer, (select count(*) from pg_replication_slots),
                    current_setting('max_wal_senders')::integer, (select count(*) from pg_stat_replication),
                    (select r.rolsuper or r.rolreplication from pg_roles r where r.rolname = current_user)
                      or exists (select from pg_roles g where g.rolname in ('rds_replication', 'rds_superuser')
                                    and pg_has_role(current_user, g.oid, 'MEMBER')),
                    (select nullif(setting::bigint, -1) * 1048576 from pg_settings where name = 'max_slot_wal_keep_size')",
            &[],
        )
        .await?;
    Ok(SourceServer {
        number: value(&row, 0)?,
        version: value(&row, 1)?,
        wal_level: value(&row, 2)?,
        slots: value(&row, 3)?,
        slots_used: value(&row, 4)?,
        senders: value(&row, 5)?,
        senders_used: value(&row, 6)?,
        may_replicate: value(&row, 7)?,
        most_kept_bytes: value(&row, 8)?,
    })
}

async fn slot(session: &Session, name: &str) -> Answer<Option<Slot>> {
    let rows = session
        .rows(
            "select plugin::text, database::text, active, wal_status,
                    pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
                                         else pg_current_wal_lsn() end, restart_lsn)::bigint
               from pg_replication_slots where slot_name = $1",
            &[(&name, Type::TEXT)],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(Slot {
        plugin: value(row, 0)?,
        database: value(row, 1)?,
        active: value(row, 2)?,
        wal_status: value(row, 3)?,
        kept_bytes: value(row, 4)?,
    }))
}

async fn publication(session: &Session, name: &str) -> Answer<Option<Publication>> {
    let found = session
        .rows(
            "select pubinsert, pubupdate, pubdelete from pg_publication where pubname = $1",
            &[(&name, Type::TEXT)],
        )
        .await?;
    let Some(row) = found.first() else {
        return Ok(None);
    };
    let mut publication = Publication::default();
    for (place, operation) in ["inserts", "updates", "deletes"].into_iter().enumerate() {
        if !value::<bool>(row, place)? {
            publication.left_out.push(operation.to_owned());
        }
    }
    let rows = session
        .rows(
            "select schemaname::text, tablename::text from pg_publication_tables where pubname = $1",
            &[(&name, Type::TEXT)],
        )
        .await?;
    for row in &rows {
        publication.tables.insert(TableName {
            schema: value(row, 0)?,
            name: value(row, 1)?,
        });
    }
    Ok(Some(publication))
}

async fn tables(
    session: &Session,
    captured: &BTreeMap<TableName, Captured>,
) -> Answer<BTreeMap<TableName, SourceTable>> {
    let mut found: BTreeMap<TableName, SourceTable> = BTreeMap::new();
    let names = Names::of(captured.keys());
    // A row per column; the role may have been given single columns.
    let rows = session
        .rows(
            "select n.nspname::text, c.relname::text, c.relreplident::text, a.attname::text,
                    has_schema_privilege(n.oid, 'USAGE') and has_column_privilege(c.oid, a.attnum, 'SELECT'),
                    c.relreplident = 'f' or exists (
                      select from pg_index i where i.indrelid = c.oid and a.attnum = any (i.indkey)
                         and (c.relreplident = 'd' and i.indisprimary or c.relreplident = 'i' and i.indisreplident))
               from unnest($1::text[], $2::text[]) as t(schema, name)
               join pg_namespace n on n.nspname = t.schema
               join pg_class c on c.relnamespace = n.oid and c.relname = t.name and c.relkind in ('r', 'p')
               join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped",
            &names.bound(),
        )
        .await?;
    for row in &rows {
        let table = TableName {
            schema: value(row, 0)?,
            name: value(row, 1)?,
        };
        let column: String = value(row, 3)?;
        let is_captured = captured
            .get(&table)
            .is_some_and(|captured| captured.columns.contains(&column));
        let entry = found.entry(table).or_insert_with(|| SourceTable {
            readable: true,
            ..SourceTable::default()
        });
        entry.identity = value(row, 2)?;
        entry.readable &= value::<bool>(row, 4)? || !is_captured;
        if value(row, 5)? {
            entry.identity_columns.insert(column.clone());
        }
        entry.columns.insert(column);
    }
    Ok(found)
}

async fn own_tables(
    session: &Session,
    needed: &[(&TableName, &str)],
) -> Answer<BTreeMap<TableName, bool>> {
    let bound = Names::of(needed.iter().map(|(table, _)| *table));
    let [schemas, names] = bound.bound();
    let privileges: Vec<&str> = needed.iter().map(|(_, privilege)| *privilege).collect();
    let rows = session
        .rows(
            "select n.nspname::text, c.relname::text,
                    has_schema_privilege(n.oid, 'USAGE') and has_table_privilege(c.oid, t.privilege)
               from unnest($1::text[], $2::text[], $3::text[]) as t(schema, name, privilege)
               join pg_namespace n on n.nspname = t.schema
               join pg_class c on c.relnamespace = n.oid and c.relname = t.name and c.relkind in ('r', 'p')",
            &[schemas, names, (&privileges, Type::TEXT_ARRAY)],
        )
        .await?;
    let table = |row| {
        let name = TableName {
            schema: value(row, 0)?,
            name: value(row, 1)?,
        };
        Ok((name, value(row, 2)?))
    };
    rows.iter().map(table).collect::<Result<_, Trouble>>()
}

/// Where there is no ledger, nobody has prepared the source, which other facts tell.
async fn unread(session: &Session, ledger: &Ledger) -> Answer<Vec<String>> {
    let readable = session
        .rows(
            "select from pg_namespace n join pg_class c on c.relnamespace = n.oid
              where n.nspname = $1 and c.relname = $2
                and has_schema_privilege(n.oid, 'USAGE') and has_table_privilege(c.oid, 'SELECT')",
            &[
                (&ledger.table.schema, Type::TEXT),
                (&ledger.table.name, Type::TEXT),
            ],
        )
        .await?;
    if readable.is_empty() {
        return Ok(Vec::new());
    }
    let rows = session
        .rows(
            &format!(
                "select dataset from {} where id = any ($1) and not covered @> captured order by 1",
                ledger.table.quoted()
            ),
            &[(&ledger.ids, Type::TEXT_ARRAY)],
        )
        .await?;
    rows.iter().map(|row| value(row, 0)).collect()
}

/// Names of tables as two arrays.
struct Names {
    schemas: Vec<String>,
    names: Vec<String>,
}

impl Names {
    fn of<'a>(tables: impl IntoIterator<Item = &'a TableName>) -> Self {
        let (schemas, names) = tables
            .into_iter()
            .map(|table| (table.schema.clone(), table.name.clone()))
            .unzip();
        Self { schemas, names }
    }

    fn bound(&self) -> [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] {
        [
            (&self.schemas, Type::TEXT_ARRAY),
            (&self.names, Type::TEXT_ARRAY),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_named_by_its_variable() {
        assert_eq!(
            variable("${env:SHOP_READER_USER}").as_deref(),
            Some("SHOP_READER_USER")
        );
        assert_eq!(variable("plain"), None);
    }
}
