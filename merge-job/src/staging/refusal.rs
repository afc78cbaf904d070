//! Values that do not cast: found by halving, inside savepoints, only after reading the batch failed on one.

use tokio_postgres::types::Type;

use crate::error::Error;
use crate::session::{Bound, Session};
use crate::staging::cut::Slice;
use crate::staging::events::{self, Shape};

/// Does this error say that a value does not fit its type (SQLSTATE class 22)?
#[must_use]
pub fn is_value_error(error: &Error) -> bool {
    error.sqlstate().is_some_and(|code| code.starts_with("22"))
}

/// The offsets of a slice whose values do not cast, at most `limit` + 1 of them.
///
/// Reads the slice as the batch does, halves it where that fails, and so on down to single rows: the work is
/// proportional to the number of bad rows times the logarithm of the slice.
///
/// # Errors
/// Whatever else goes wrong in the database.
pub async fn find(
    session: &Session,
    shape: &Shape<'_>,
    read: &str,
    slice: &Slice,
    limit: u64,
) -> Result<Uncast, Error> {
    let mut bad = Vec::new();
    let mut keyless = Vec::new();
    let mut open = vec![(slice.position.watermark, slice.high)];
    while let Some((low, high)) = open.pop() {
        if u64::try_from(bad.len()).unwrap_or(u64::MAX) > limit {
            break;
        }
        session
            .script("set a savepoint", "savepoint mp_refusal")
            .await?;
        match try_read(session, read, slice, low, high).await {
            Ok(()) => {}
            Err(error) if is_value_error(&error) => {
                session
                    .script("go back to a savepoint", "rollback to savepoint mp_refusal")
                    .await?;
                match middle(session, shape, slice, low, high).await? {
                    Some(middle) => open.extend([(middle, high), (low, middle)]),
                    None => {
                        bad.push(high);
                        if !casts_key(session, shape, slice, high).await? {
                            keyless.push(high);
                        }
                    }
                }
                continue;
            }
            Err(error) => return Err(error),
        }
        session
            .script("go back to a savepoint", "rollback to savepoint mp_refusal")
            .await?;
    }
    Ok(Uncast { rows: bad, keyless })
}

/// The offsets of rows whose values do not cast.
#[derive(Debug, Clone, Default)]
pub struct Uncast {
    /// All of them.
    pub rows: Vec<i64>,
    /// Those whose key does not cast either: they belong to no key.
    pub keyless: Vec<i64>,
}

async fn casts_key(
    session: &Session,
    shape: &Shape<'_>,
    slice: &Slice,
    offset: i64,
) -> Result<bool, Error> {
    session
        .script("set a savepoint", "savepoint mp_refusal")
        .await?;
    let values: [Bound<'_>; 3] = [
        (&slice.position.topic, Type::TEXT),
        (&slice.position.partition, Type::INT4),
        (&offset, Type::INT8),
    ];
    let casts = match session
        .query("cast a key", &events::cast_key(shape), &values)
        .await
    {
        Ok(_) => true,
        Err(error) if is_value_error(&error) => false,
        Err(error) => return Err(error),
    };
    session
        .script("go back to a savepoint", "rollback to savepoint mp_refusal")
        .await?;
    Ok(casts)
}

async fn try_read(
    session: &Session,
    read: &str,
    slice: &Slice,
    low: i64,
    high: i64,
) -> Result<(), Error> {
    let values = SliceValues {
        low,
        high,
        bad: Uncast::default(),
        slice,
    };
    session
        .execute("read staged rows", read, &values.bound())
        .await
        .map(drop)
}

/// An offset that halves the rows above `low` up to `high`; none for a single row.
async fn middle(
    session: &Session,
    shape: &Shape<'_>,
    slice: &Slice,
    low: i64,
    high: i64,
) -> Result<Option<i64>, Error> {
    let sql = format!(
        "select max(x) from (select __connect_offset as x, row_number() over (order by __connect_offset) as n,\n  \
           count(*) over () as total from {} where __connect_topic = $1 and __connect_partition = $2\n    \
           and __connect_offset > $3 and __connect_offset <= $4) s where n <= total / 2",
        shape.dataset.staging.quoted()
    );
    let rows = session
        .query(
            "halve a slice",
            &sql,
            &[
                (&slice.position.topic, Type::TEXT),
                (&slice.position.partition, Type::INT4),
                (&low, Type::INT8),
                (&high, Type::INT8),
            ],
        )
        .await?;
    Ok(rows.first().and_then(|row| row.get::<_, Option<i64>>(0)))
}

/// The values that [`events::create`] takes for one slice.
pub(crate) struct SliceValues<'a> {
    pub(crate) slice: &'a Slice,
    pub(crate) low: i64,
    pub(crate) high: i64,
    pub(crate) bad: Uncast,
}

impl<'a> SliceValues<'a> {
    pub(crate) const fn new(slice: &'a Slice, bad: Uncast) -> Self {
        Self {
            slice,
            low: slice.position.watermark,
            high: slice.high,
            bad,
        }
    }

    pub(crate) fn bound(&self) -> [Bound<'_>; events::VALUES_PER_SLICE] {
        [
            (&self.slice.position.topic, Type::TEXT),
            (&self.slice.position.partition, Type::INT4),
            (&self.low, Type::INT8),
            (&self.high, Type::INT8),
            (&self.bad.rows, Type::INT8_ARRAY),
            (&self.bad.keyless, Type::INT8_ARRAY),
        ]
    }
}
