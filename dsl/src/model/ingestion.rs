use super::Credential;
use crate::Spanned;
use crate::scalar::{Cron, Line, LocationPath, TopicName};
use crate::spec::{Consistency, SourceKind};

/// Every five minutes: seldom enough for a pod per batch, often enough for most readers.
pub const DEFAULT_SCHEDULE: &str = "*/5 * * * *";

/// How the data of a datastore comes in, and when it is merged.
#[derive(Debug, Clone)]
pub struct Ingestion {
    /// Where its events come from.
    pub origin: Origin,
    /// Where the data lies.
    pub locations: Vec<Spanned<LocationPath>>,
    /// What is merged as one transaction.
    pub consistency: Consistency,
    /// When batches are merged. The place is the datastore's name where nobody said it.
    pub schedule: Spanned<Cron>,
}

/// Where the events of a datastore come from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A database, by a source connector of the platform.
    Cdc(Cdc),
    /// Topics that others fill: no source connector, no credential.
    Topics(Topics),
    /// A database whose tables the merge job reads whole: no connector, no topics.
    SqlSnapshot(SqlSnapshot),
}

/// Change data capture from one database.
#[derive(Debug, Clone)]
pub struct Cdc {
    /// The database.
    pub source: Source,
    /// The credential with which it is read.
    pub credential: Credential,
}

/// Images of whole tables of one database.
#[derive(Debug, Clone)]
pub struct SqlSnapshot {
    /// The database.
    pub source: Source,
    /// The credential with which it is read.
    pub credential: Credential,
}

/// The database that is captured or read.
#[derive(Debug, Clone)]
pub enum Source {
    /// PostgreSQL.
    Postgres(Database),
    /// MySQL.
    MySql(Database),
    /// MariaDB.
    MariaDb(Database),
    /// Microsoft SQL Server.
    SqlServer(Database),
    /// Oracle.
    Oracle(OracleDatabase),
}

/// Where a database is.
#[derive(Debug, Clone)]
pub struct Database {
    /// The host.
    pub host: Spanned<Line>,
    /// The port.
    pub port: u16,
    /// The database's name.
    pub name: Spanned<Line>,
}

/// Where an Oracle database is.
#[derive(Debug, Clone)]
pub struct OracleDatabase {
    /// The database; the root container of one with containers.
    pub database: Database,
    /// The container that holds the tables, if the database has containers.
    pub pluggable: Option<Spanned<Line>>,
}

/// Topics that others fill with the events of one of Debezium's connectors.
#[derive(Debug, Clone)]
pub struct Topics {
    /// Which connector fills them.
    pub connector: Spanned<SourceKind>,
    /// What their names begin with; a dot follows.
    pub prefix: Spanned<TopicName>,
    /// The topic of BEGIN and END of transactions, if there is one.
    pub transactions: Option<Spanned<TopicName>>,
}

impl Ingestion {
    /// Which kind of source the data is from.
    #[must_use]
    pub const fn kind(&self) -> SourceKind {
        match &self.origin {
            Origin::Cdc(cdc) => cdc.source.kind(),
            Origin::Topics(topics) => topics.connector.value,
            Origin::SqlSnapshot(snapshot) => snapshot.source.kind(),
        }
    }

    /// The database that the platform captures, if it does.
    #[must_use]
    pub const fn cdc(&self) -> Option<&Cdc> {
        match &self.origin {
            Origin::Cdc(cdc) => Some(cdc),
            Origin::Topics(_) | Origin::SqlSnapshot(_) => None,
        }
    }

    /// The database whose tables are read whole, if they are.
    #[must_use]
    pub const fn sql_snapshot(&self) -> Option<&SqlSnapshot> {
        match &self.origin {
            Origin::Cdc(_) | Origin::Topics(_) => None,
            Origin::SqlSnapshot(snapshot) => Some(snapshot),
        }
    }

    /// The credential with which the source is read, unless others do.
    #[must_use]
    pub const fn credential(&self) -> Option<&Credential> {
        match &self.origin {
            Origin::Cdc(cdc) => Some(&cdc.credential),
            Origin::Topics(_) => None,
            Origin::SqlSnapshot(snapshot) => Some(&snapshot.credential),
        }
    }

    /// The topics that others fill, if they do.
    #[must_use]
    pub const fn topics(&self) -> Option<&Topics> {
        match &self.origin {
            Origin::Cdc(_) | Origin::SqlSnapshot(_) => None,
            Origin::Topics(topics) => Some(topics),
        }
    }
}

impl Source {
    /// Which of Debezium's connectors captures it.
    #[must_use]
    pub const fn kind(&self) -> SourceKind {
        match self {
            Self::Postgres(_) => SourceKind::Postgres,
            Self::MySql(_) => SourceKind::MySql,
            Self::MariaDb(_) => SourceKind::MariaDb,
            Self::SqlServer(_) => SourceKind::SqlServer,
            Self::Oracle(_) => SourceKind::Oracle,
        }
    }

    /// Where it is.
    #[must_use]
    pub const fn database(&self) -> &Database {
        match self {
            Self::Postgres(database)
            | Self::MySql(database)
            | Self::MariaDb(database)
            | Self::SqlServer(database) => database,
            Self::Oracle(oracle) => &oracle.database,
        }
    }
}

impl SourceKind {
    /// Where a source of the kind listens if nobody says otherwise.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::MySql | Self::MariaDb => 3306,
            Self::SqlServer => 1433,
            Self::Oracle => 1521,
        }
    }
}
