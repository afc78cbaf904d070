//! The source of images: a connection, and on it one transaction that sees one state of all tables.

use std::time::Duration;

use milepost_job_spec::{DatasetSpec, SourceDatabase, TableRef};
use tokio_postgres::SimpleQueryRow;
use tokio_postgres::types::Type;

use crate::database;
use crate::error::{self, Error};
use crate::image::table::{self, Found, Problem};
use crate::image::{SourceError, heap};
use crate::session::{Bound, CopyError, Session};

/// Values are printed so that they read back unchanged, whoever reads. A policy that would hide rows is an error. How long a
/// table takes is its owner's and our schedule's business, so only waiting has a limit, and a reader that is gone.
const SETTINGS: &str = "set local row_security = off; set local standard_conforming_strings = on; set local timezone = 'UTC'; \
    set local datestyle = 'ISO, YMD'; set local intervalstyle = 'postgres'; set local bytea_output = 'hex'; \
    set local extra_float_digits = 3; set local search_path = pg_catalog; set local statement_timeout = 0; \
    set local lock_timeout = '10s'; set local idle_in_transaction_session_timeout = '60s'";

/// How long locking and looking up may take in all: less than the platform's database lets a transaction stand idle.
const PATIENCE: Duration = Duration::from_secs(45);

/// A connection to a source.
pub(crate) struct Source {
    session: Session,
    place: String,
}

impl Source {
    /// Connects; without an address of the spec's to the one that the environment has.
    ///
    /// # Errors
    /// [`Error::Usage`] where the environment lacks the credential, [`SourceError`] where the server is not there or refuses.
    pub(crate) async fn connect(source: Option<&SourceDatabase>) -> Result<Self, Error> {
        let config = database::source_from_environment(source)?;
        let session = Session::connect(&config)
            .await
            .map_err(SourceError::of_connecting)?;
        Ok(Self {
            session,
            place: error::place(&config),
        })
    }

    /// Begins the transaction: all tables are locked against changes of their definition, then the snapshot is taken.
    ///
    /// # Errors
    /// [`SourceError`] where a table cannot be read as a whole.
    pub(crate) async fn snapshot<'a>(
        &'a self,
        datasets: &'a [DatasetSpec],
    ) -> Result<Snapshot<'a>, Error> {
        match tokio::time::timeout(PATIENCE, self.begin(datasets)).await {
            Ok(begun) => begun,
            Err(_) => Err(SourceError::Silent {
                place: self.place.clone(),
                seconds: PATIENCE.as_secs(),
            }
            .into()),
        }
    }

    async fn begin<'a>(&'a self, datasets: &'a [DatasetSpec]) -> Result<Snapshot<'a>, Error> {
        // A truncate that is committed between snapshot and lock would leave an empty table to see: first the locks.
        let locks: String = datasets
            .iter()
            .map(|own| {
                format!(
                    "lock table {} in access share mode; ",
                    table::of(own).quoted()
                )
            })
            .collect();
        let begin = format!(
            "begin isolation level repeatable read read only; {SETTINGS}; {locks}\
             select (extract(epoch from clock_timestamp()) * 1000000)::bigint"
        );
        let rows = match self.script("lock the tables", &begin).await {
            Ok(rows) => rows,
            Err(failed) => return Err(self.explain(failed, datasets).await),
        };
        let taken_us = rows.last().and_then(|row| row.get(0)?.parse().ok());
        let found = self.look_up(datasets).await?;
        self.refuse(datasets, &found)?;
        Ok(Snapshot {
            source: self,
            datasets,
            found,
            taken_us,
        })
    }

    /// Why the tables could not be locked, where the catalog tells it better than the server did.
    async fn explain(&self, failed: Error, datasets: &[DatasetSpec]) -> Error {
        // No such table or schema, no right, no table.
        const TELLING: [&str; 4] = ["42P01", "3F000", "42501", "42809"];
        let is_telling = match &failed {
            Error::Source(SourceError::Failed { source, .. }) => source
                .code()
                .is_some_and(|code| TELLING.contains(&code.code())),
            _ => false,
        };
        if !is_telling {
            return failed;
        }
        let asked = async {
            self.script("look the tables up", "rollback; begin read only")
                .await?;
            let found = self.look_up(datasets).await?;
            self.refuse(datasets, &found)
        };
        asked.await.err().unwrap_or(failed)
    }

    async fn look_up(&self, datasets: &[DatasetSpec]) -> Result<Vec<Found>, Error> {
        let (mut places, mut schemas, mut tables, mut columns) = (vec![], vec![], vec![], vec![]);
        for (place, dataset) in datasets.iter().enumerate() {
            let table = table::of(dataset);
            for column in &dataset.columns {
                places.push(i32::try_from(place).unwrap_or(i32::MAX));
                schemas.push(table.schema.as_str());
                tables.push(table.name.as_str());
                columns.push(column.staged_as.as_str());
            }
        }
        let values: [Bound<'_>; 4] = [
            (&places, Type::INT4_ARRAY),
            (&schemas, Type::TEXT_ARRAY),
            (&tables, Type::TEXT_ARRAY),
            (&columns, Type::TEXT_ARRAY),
        ];
        let label = "look the tables up";
        let asked = self.session.query(label, table::LOOK_UP, &values).await;
        let rows = asked.map_err(|error| self.failed(error))?;
        Ok(rows.iter().map(Found::read).collect())
    }

    /// Refuses tables of which no image can be read: the first problem in full, the others counted.
    fn refuse(&self, datasets: &[DatasetSpec], found: &[Found]) -> Result<(), Error> {
        let mut problems = table::problems(datasets, found).into_iter();
        let Some(Problem { mut what, remedy }) = problems.next() else {
            return Ok(());
        };
        match problems.len() {
            0 => {}
            more => what.push_str(&format!(" (and {more} more)")),
        }
        Err(SourceError::Refused {
            place: self.place.clone(),
            what,
            remedy,
        }
        .into())
    }

    /// Runs statements that take no values; returns their rows as text.
    ///
    /// # Errors
    /// [`SourceError`].
    pub(crate) async fn script(
        &self,
        label: &'static str,
        sql: &str,
    ) -> Result<Vec<SimpleQueryRow>, Error> {
        let asked = self.session.script(label, sql).await;
        asked.map_err(|error| self.failed(error))
    }

    /// A failed statement is the source's failure, whatever the platform's database makes of such an error.
    fn failed(&self, error: Error) -> Error {
        match error {
            Error::Sql { label, source } => SourceError::Failed {
                label: label.to_owned(),
                place: self.place.clone(),
                source,
            }
            .into(),
            other => other,
        }
    }
}

/// The transaction at the source, which sees one state of all tables.
pub(crate) struct Snapshot<'a> {
    source: &'a Source,
    datasets: &'a [DatasetSpec],
    found: Vec<Found>,
    /// When it was taken, by the source's clock: microseconds since 1970.
    pub(crate) taken_us: Option<i64>,
}

impl Snapshot<'_> {
    /// Copies the table of the dataset at this place into its temporary table at the platform; returns how many rows it has.
    ///
    /// # Errors
    /// As [`Self::copy_where`].
    pub(crate) async fn copy(&self, place: usize, platform: &Session) -> Result<u64, Error> {
        let into = heap::copy_in(&self.datasets[place]);
        self.copy_where(place, "true", &into, platform).await
    }

    /// Copies the rows `t` of a dataset's table of which the condition is true; `into` takes them in at the platform.
    ///
    /// # Errors
    /// [`SourceError`] for what fails at the source, [`Error::Sql`] for what fails at the platform, [`Error::Staged`] for
    /// text that the platform's database cannot hold.
    pub(crate) async fn copy_where(
        &self,
        place: usize,
        condition: &str,
        into: &str,
        platform: &Session,
    ) -> Result<u64, Error> {
        let dataset = &self.datasets[place];
        let table = table::of(dataset);
        let out = table::copy_out(dataset, place, &self.found, condition);
        let copied = platform.copy_from(&self.source.session, &out, into).await;
        copied.map_err(|error| match error {
            CopyError::There(source) => SourceError::Failed {
                label: format!("read `{table}`"),
                place: self.source.place.clone(),
                source,
            }
            .into(),
            CopyError::Here(source) if is_no_text(&source) => Error::Staged {
                what: format!(
                    "`{table}` at the source ({}) holds text that the platform's database cannot hold",
                    self.source.place
                ),
                remedy: "a source without an encoding (SQL_ASCII) must hold UTF-8; else the platform's database needs the encoding UTF8"
                    .to_owned(),
            },
            CopyError::Here(source) => Error::sql("take in an image", source),
        })
    }

    /// The values of a row `t` of the dataset at this place, in the order of its columns.
    pub(crate) fn values(&self, place: usize) -> Vec<String> {
        table::values(&self.datasets[place], place, &self.found)
    }

    /// Can it read the keys of that dataset's merge table, as the platform prints them?
    pub(crate) fn reads_keys(&self, place: usize) -> bool {
        table::reads_keys(&self.datasets[place], place, &self.found)
    }

    /// The table of the dataset at this place.
    pub(crate) fn table(&self, place: usize) -> &TableRef {
        table::of(&self.datasets[place])
    }

    /// Runs statements that take no values; returns their rows as text.
    ///
    /// # Errors
    /// [`SourceError`].
    pub(crate) async fn script(
        &self,
        label: &'static str,
        sql: &str,
    ) -> Result<Vec<SimpleQueryRow>, Error> {
        self.source.script(label, sql).await
    }
}

/// Did the server refuse bytes as no text of its encoding? All columns are text, so no other value can be refused.
fn is_no_text(error: &tokio_postgres::Error) -> bool {
    error
        .code()
        .is_some_and(|code| code.code().starts_with("22"))
}
