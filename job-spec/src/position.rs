use serde::{Deserialize, Serialize};

use crate::staging;

/// Which staging columns make the position of a row at its source, one variant per kind of source.
///
/// A position is three numbers: commit position, row position, order in the transaction. The first two tell a replay from
/// news; the order only casts doubt, since a connector that restarts inside a transaction may count from 1 again
/// (docs/decisions/0001). It is never a watermark.
///
/// This is the one home of which columns a staging table has beside the dataset's own, and of the field of Debezium's
/// envelope that each is filled from: the DDL, the sink's `add.fields` and the merge all read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourcePosition {
    /// Debezium's Postgres connector: the last commit LSN of `__sequence`, `__lsn`, `__transaction_total_order`.
    Postgres,
    /// Debezium's MySQL connector: the transaction of `__transaction_id`, place of the row event in its binlog file and of
    /// the row in the event.
    #[serde(rename = "mysql")]
    MySql,
    /// Debezium's MariaDB connector: as MySQL, with MariaDB's form of a GTID.
    #[serde(rename = "mariadb")]
    MariaDb,
    /// Debezium's SQL Server connector: the LSN of the commit and of the change.
    SqlServer,
    /// Debezium's Oracle connector (LogMiner): the SCN of the commit, and nothing within it.
    Oracle,
}

/// A column that staging tables have beside the dataset's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StagingColumn {
    /// Its name.
    pub name: &'static str,
    /// Its type in Postgres, as `format_type` prints it.
    pub data_type: &'static str,
    /// The field of the envelope that the sink's `add.fields` names; none where transform or sink write the column anyway.
    pub field: Option<&'static str>,
}

const fn of_envelope(
    name: &'static str,
    data_type: &'static str,
    field: &'static str,
) -> StagingColumn {
    StagingColumn {
        name,
        data_type,
        field: Some(field),
    }
}

const fn of_sink(name: &'static str, data_type: &'static str) -> StagingColumn {
    StagingColumn {
        name,
        data_type,
        field: None,
    }
}

impl SourcePosition {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Postgres,
        Self::MySql,
        Self::MariaDb,
        Self::SqlServer,
        Self::Oracle,
    ];

    /// The columns that only this kind of source has.
    #[must_use]
    pub const fn own_columns(self) -> &'static [StagingColumn] {
        const POSTGRES: &[StagingColumn] = &[
            of_envelope(staging::SEQUENCE, "text", "sequence"),
            of_envelope(staging::LSN, "bigint", "lsn"),
        ];
        const BINLOG: &[StagingColumn] = &[
            of_envelope(staging::SOURCE_POS, "bigint", "source.pos"),
            of_envelope(staging::SOURCE_ROW, "bigint", "source.row"),
        ];
        const SQL_SERVER: &[StagingColumn] = &[
            of_envelope(staging::SOURCE_COMMIT_LSN, "text", "source.commit_lsn"),
            of_envelope(staging::SOURCE_CHANGE_LSN, "text", "source.change_lsn"),
        ];
        const ORACLE: &[StagingColumn] = &[of_envelope(
            staging::SOURCE_COMMIT_SCN,
            "text",
            "source.commit_scn",
        )];
        match self {
            Self::Postgres => POSTGRES,
            Self::MySql | Self::MariaDb => BINLOG,
            Self::SqlServer => SQL_SERVER,
            Self::Oracle => ORACLE,
        }
    }

    /// Do END events of this source tell where their transaction stands?
    ///
    /// Where they do not, the END of a merged transaction that is delivered again could not be told from news, and would
    /// hold up the stream: such a stream takes no notice of END events.
    #[must_use]
    pub const fn places_ends(self) -> bool {
        match self {
            Self::Postgres | Self::MySql | Self::MariaDb | Self::SqlServer => true,
            Self::Oracle => false,
        }
    }

    /// Every staging column beside the dataset's own, in table order.
    #[must_use]
    pub fn staging_columns(self) -> Vec<StagingColumn> {
        let mut columns = vec![
            of_envelope(staging::OP, "text", "op"),
            of_sink(staging::DELETED, "text"),
            of_envelope(staging::SOURCE_TS_US, "bigint", "source.ts_us"),
        ];
        columns.extend(self.own_columns());
        columns.extend([
            of_envelope(staging::TRANSACTION_ID, "text", "transaction.id"),
            of_envelope(
                staging::TRANSACTION_TOTAL_ORDER,
                "bigint",
                "transaction.total_order",
            ),
            of_envelope(staging::SNAPSHOT, "text", "snapshot"),
            of_sink(staging::TOPIC, "text"),
            of_sink(staging::PARTITION, "integer"),
            of_sink(staging::OFFSET, "bigint"),
        ]);
        columns
    }

    /// What `add.fields` of the sink's `ExtractNewRecordState` has to say, in table order.
    #[must_use]
    pub fn add_fields(self) -> String {
        let columns = self.staging_columns();
        let fields: Vec<&str> = columns.iter().filter_map(|column| column.field).collect();
        fields.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_named_as_the_transform_names_its_field() {
        for source in SourcePosition::ALL {
            for column in source.staging_columns() {
                if let Some(field) = column.field {
                    assert_eq!(column.name, format!("__{}", field.replace('.', "_")));
                }
            }
        }
    }

    #[test]
    fn postgres_keeps_its_fields() {
        assert_eq!(
            SourcePosition::Postgres.add_fields(),
            "op,source.ts_us,sequence,lsn,transaction.id,transaction.total_order,snapshot"
        );
    }

    #[test]
    fn a_spec_names_its_source_in_the_words_of_the_model() {
        let words = SourcePosition::ALL.map(|source| serde_json::to_string(&source).unwrap());
        assert_eq!(
            words,
            [
                "\"postgres\"",
                "\"mysql\"",
                "\"mariadb\"",
                "\"sql-server\"",
                "\"oracle\""
            ]
        );
    }
}
