//! What a run took: statement by statement as the server saw it, and the CPU time of its session.

use std::collections::BTreeMap;

use anyhow::Result;
use postgres::Client;

/// The steps of a batch by how their statements begin or what they name; the first match wins.
const STEPS: [(&str, &str); 9] = [
    ("reduce", "create temp table mp_changes%"),
    ("read", "create temp table mp_events%"),
    ("close", "insert into%\\_\\_closed%mp\\_changes%"),
    ("apply", "merge into%mp\\_changes%"),
    ("count", "select n.*%mp\\_changes%"),
    ("record", "with moved%"),
    ("survey", "select%mp\\_events%"),
    ("cut", "with known%"),
    ("commit", "commit%"),
];

/// Steps of the merge job that are merge statements.
const MERGE: [&str; 3] = ["reduce", "close", "apply"];

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Took {
    /// Milliseconds of the merge statements.
    pub(crate) merge: f64,
    /// Milliseconds of all statements from begin to commit.
    pub(crate) whole: f64,
    /// Clock ticks of the session in the server.
    pub(crate) cpu: f64,
    /// Milliseconds by step; only of the merge job.
    pub(crate) steps: BTreeMap<&'static str, f64>,
}

/// Forgets the statements so far.
pub(crate) fn reset(client: &mut Client) -> Result<()> {
    client.batch_execute("select pg_stat_statements_reset()")?;
    Ok(())
}

/// Reads what the merge job's statements took since [`reset`].
pub(crate) fn of_engine(client: &mut Client, cpu: u64) -> Result<Took> {
    let cases: String = STEPS
        .iter()
        .map(|(step, like)| format!(" when query ilike '{like}' then '{step}'"))
        .collect();
    // What loads the stream comes before the batch; its catalog query names the version of the control schema.
    let rows = client.query(
        &format!(
            "select case{cases} else 'other' end, sum(total_exec_time + total_plan_time)\n  \
               from pg_stat_statements s join pg_database d on d.oid = s.dbid\n \
              where d.datname = current_database() and query not ilike '%pg_stat_statements%'\n   \
                and query not ilike '%milepost.schema_version%'\n \
              group by 1"
        ),
        &[],
    )?;
    let mut steps = BTreeMap::new();
    for row in &rows {
        let found: &str = row.get(0);
        let known = STEPS.iter().find(|(step, _)| *step == found);
        steps.insert(
            known.map_or("other", |(step, _)| step),
            row.get::<_, f64>(1),
        );
    }
    Ok(Took {
        merge: MERGE.iter().filter_map(|step| steps.get(step)).sum(),
        whole: steps.values().sum(),
        cpu: ticks(cpu),
        steps,
    })
}

/// Reads what the floor's statements took since [`reset`].
pub(crate) fn of_floor(client: &mut Client, cpu: u64) -> Result<Took> {
    let row = client.query_one(
        "select sum(t) filter (where q ~* '^(create|analyze|insert|merge)'), sum(t)\n  \
           from (select total_exec_time + total_plan_time as t, query as q\n          \
                   from pg_stat_statements s join pg_database d on d.oid = s.dbid\n         \
                  where d.datname = current_database() and query not ilike '%pg_stat_statements%') x",
        &[],
    )?;
    Ok(Took {
        merge: row.get(0),
        whole: row.get(1),
        cpu: ticks(cpu),
        steps: BTreeMap::new(),
    })
}

/// Reads what another tool's statements took since [`reset`]. What brings rows into its staging is none of the merge.
pub(crate) fn of_peer(client: &mut Client) -> Result<Took> {
    let row = client.query_one(
        "select sum(total_exec_time + total_plan_time)\n  \
           from pg_stat_statements s join pg_database d on d.oid = s.dbid\n \
          where d.datname = current_database() and query not ilike '%pg_stat_statements%' and query not ilike 'copy %'",
        &[],
    )?;
    let all: f64 = row.get(0);
    Ok(Took {
        merge: all,
        whole: all,
        cpu: 0.0,
        steps: BTreeMap::new(),
    })
}

fn ticks(cpu: u64) -> f64 {
    f64::from(u32::try_from(cpu).unwrap_or(u32::MAX))
}
