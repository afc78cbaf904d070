use std::num::NonZeroU16;

use crate::Spanned;
use crate::scalar::{
    ClassificationName, ColumnName, CredentialName, CredentialType, Cron, DataType, DatasetName,
    DatastoreName, Line, LocationPath, Percent, TeamRef, TopicName,
};
use crate::yaml::{choice, record};

record! {
    /// `kind: Datastore`: datasets of one source and how they are ingested.
    pub struct DatastoreSpec {
        /// The datastore's name, unique in the ecosystem.
        pub name: Spanned<DatastoreName>,
        /// The team that owns it.
        pub team: Spanned<TeamRef>,
        /// How its data comes in.
        pub ingestion: IngestionSpec,
        /// What it holds.
        pub datasets: Vec<DatasetSpec>,
    }
}

choice! {
    /// How the data of a datastore comes in.
    pub enum IngestionSpec {
        /// Change data capture: every committed change, in order.
        Cdc(CdcSpec) as "cdc",
        /// Topics that others fill with the events of Debezium.
        Topics(TopicsSpec) as "topics",
        /// Images of whole tables, which the merge job reads itself.
        SqlSnapshot(SqlSnapshotSpec) as "sql-snapshot",
    }
}

record! {
    /// Change data capture from one database.
    pub struct CdcSpec {
        /// The database.
        pub source: SourceSpec,
        /// The credential with which the database is read.
        pub credential: CredentialSpec,
        /// What is merged as one transaction; default `single-dataset`.
        pub consistency: Option<Spanned<Consistency>>,
        /// When batches are merged; default `*/5 * * * *`.
        pub schedule: Option<Spanned<Cron>>,
    }
}

choice! {
    /// The database that is captured.
    pub enum SourceSpec {
        /// PostgreSQL, by logical decoding; port 5432.
        Postgres(DatabaseSpec) as "postgres",
        /// MySQL, from its binary log; port 3306.
        MySql(DatabaseSpec) as "mysql",
        /// MariaDB, from its binary log; port 3306.
        MariaDb(DatabaseSpec) as "mariadb",
        /// Microsoft SQL Server, from its change tables; port 1433.
        SqlServer(DatabaseSpec) as "sql-server",
        /// Oracle, by its log miner; port 1521.
        Oracle(OracleDatabaseSpec) as "oracle",
    }
}

record! {
    /// A database that is captured.
    pub struct DatabaseSpec {
        /// The host.
        pub host: Spanned<Line>,
        /// The port; default that of the kind of source.
        pub port: Option<Spanned<NonZeroU16>>,
        /// The database.
        pub database: Spanned<Line>,
        /// Where the data lies.
        pub locations: Option<Vec<Spanned<LocationPath>>>,
    }
}

record! {
    /// An Oracle database that is captured.
    pub struct OracleDatabaseSpec {
        /// The host.
        pub host: Spanned<Line>,
        /// The port; default 1521.
        pub port: Option<Spanned<NonZeroU16>>,
        /// The database: the root container of one with containers.
        pub database: Spanned<Line>,
        /// The container that holds the tables; default that the database has none.
        pub pluggable_database: Option<Spanned<Line>>,
        /// Where the data lies.
        pub locations: Option<Vec<Spanned<LocationPath>>>,
    }
}

record! {
    /// Topics that others fill with the events of Debezium, as JSON with schemas. A dataset's topic is `<prefix>.<from>`.
    pub struct TopicsSpec {
        /// Which of Debezium's connectors fills them.
        pub connector: Spanned<SourceKind>,
        /// What their names begin with.
        pub prefix: Spanned<TopicName>,
        /// The topic of transactions, if the connector writes one.
        pub transactions: Option<Spanned<TopicName>>,
        /// Where the data lies.
        pub locations: Option<Vec<Spanned<LocationPath>>>,
        /// What is merged as one transaction; default `single-dataset`.
        pub consistency: Option<Spanned<Consistency>>,
        /// When batches are merged; default `*/5 * * * *`.
        pub schedule: Option<Spanned<Cron>>,
    }
}

record! {
    /// Images of whole tables: each run reads every table with SQL, all in one snapshot of the source.
    pub struct SqlSnapshotSpec {
        /// The database.
        pub source: SourceSpec,
        /// The credential with which the database is read.
        pub credential: CredentialSpec,
        /// What is merged as one transaction; default `single-dataset`.
        pub consistency: Option<Spanned<Consistency>>,
        /// When images are read and merged; default `*/5 * * * *`.
        pub schedule: Option<Spanned<Cron>>,
    }
}

/// Which of Debezium's connectors makes the events: it decides what they say of positions, types and names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// PostgreSQL.
    Postgres,
    /// MySQL.
    MySql,
    /// MariaDB.
    MariaDb,
    /// Microsoft SQL Server.
    SqlServer,
    /// Oracle.
    Oracle,
}

crate::scalar::words!(SourceKind, "a kind of source" {
    Postgres => "postgres",
    MySql => "mysql",
    MariaDb => "mariadb",
    SqlServer => "sql-server",
    Oracle => "oracle",
});

impl SourceKind {
    /// Its makers' name for it, in sentences.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Postgres => "Postgres",
            Self::MySql => "MySQL",
            Self::MariaDb => "MariaDB",
            Self::SqlServer => "SQL Server",
            Self::Oracle => "Oracle",
        }
    }
}

record! {
    /// A named key with a type; the secret lives in the platform's credential store.
    pub struct CredentialSpec {
        /// The name in the store.
        pub name: Spanned<CredentialName>,
        /// What it is made of.
        pub r#type: Spanned<CredentialType>,
    }
}

/// What is merged as one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Consistency {
    /// Each dataset by itself.
    SingleDataset,
    /// All datasets of the store together, aligned to the source's transactions.
    MultiDataset,
}

crate::scalar::words!(Consistency, "a consistency" {
    SingleDataset => "single-dataset",
    MultiDataset => "multi-dataset",
});

record! {
    /// A dataset: a table of the source.
    pub struct DatasetSpec in "#" {
        /// The dataset's name, unique in its datastore.
        pub name: Spanned<DatasetName>,
        /// What the source calls it, such as `public.customers`; default its name. For topics: their names without the prefix.
        pub from: Option<Spanned<Line>>,
        /// The columns that tell its rows apart, in key order; without it every event is kept as a row.
        pub key: Option<Vec<Spanned<ColumnName>>>,
        /// What a truncate at the source does; default `fail`.
        pub truncate: Option<Spanned<OnTruncate>>,
        /// What a new snapshot does with live rows that it does not have; default `report`.
        pub resnapshot: Option<Spanned<OnResnapshot>>,
        /// The most live rows, in percent, that a snapshot may close because it does not have them; default 10.
        pub missing_limit: Option<Spanned<Percent>>,
        /// Its columns, in table order.
        pub columns: Vec<ColumnSpec>,
    }
}

/// What a truncate at the source does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnTruncate {
    /// The stream stops until a person says what to do.
    Fail,
    /// Every row is closed.
    CloseAll,
    /// Nothing.
    Ignore,
}

crate::scalar::words!(OnTruncate, "a policy for truncates" {
    Fail => "fail",
    CloseAll => "close-all",
    Ignore => "ignore",
});

/// What a new snapshot does with live rows that it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnResnapshot {
    /// They stay, and their number is told.
    Report,
    /// They are closed.
    Heal,
}

crate::scalar::words!(OnResnapshot, "a policy for snapshots" {
    Report => "report",
    Heal => "heal",
});

record! {
    /// A column of a dataset.
    pub struct ColumnSpec in "." {
        /// The column's name, unique in its dataset.
        pub name: Spanned<ColumnName>,
        /// The type of its values.
        pub r#type: Spanned<DataType>,
        /// May a value be missing? Default false.
        pub nullable: Option<Spanned<bool>>,
        /// What its values are: `personal`.
        pub classifications: Option<Vec<Spanned<ClassificationName>>>,
    }
}
