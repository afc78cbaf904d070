//! The workload: ten columns, a row of some 210 bytes; 70 % updates, 20 % creates, 10 % deletes; every tenth key of a batch
//! is hit two or three times, as create-delete, delete-create, update-delete and delete-create-delete too.
//!
//! Rows are made in the server, from numbers alone: the same batch is the same for everybody.

use milepost_job_spec::{
    ColumnSpec, DatasetPolicy, DatasetSpec, Input, Limits, PgIdent, Placeholder,
    STREAM_SPEC_VERSION, SourcePosition, Strategy, StreamKey, StreamSpec, TableRef,
};

/// Name and type of the columns; a large value may be unchanged, and then staging holds a placeholder.
const COLUMNS: [(&str, &str, bool); 10] = [
    ("id", "bigint", false),
    ("t1", "text", true),
    ("t2", "text", true),
    ("t3", "text", true),
    ("t4", "text", true),
    ("n1", "numeric(12,2)", false),
    ("n2", "numeric(12,2)", false),
    ("ts", "timestamp with time zone", false),
    ("b", "boolean", false),
    ("j", "jsonb", true),
];

/// When the events of the first batch happen.
pub(crate) const BATCHES_BEGIN: &str = "2026-06-01";

/// How big a run is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Live keys before the first batch.
    pub(crate) keys: u32,
    /// Versions of each key before the first batch.
    pub(crate) versions: u32,
    /// Batches; each hits keys of its own, spread over the whole range, where there are enough.
    pub(crate) batches: u32,
}

/// A batch among those of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch {
    /// Its number, from 0.
    pub(crate) number: u32,
    /// Rows staged before it.
    pub(crate) before: u64,
    /// Rows of it.
    pub(crate) changes: u32,
}

/// The stream of one dataset, `customers`, in a schema.
pub(crate) fn spec(schema: &str, strategy: Strategy) -> StreamSpec {
    stream(schema, "customers", strategy)
}

/// The stream of one dataset of this name, in a schema.
pub(crate) fn stream(schema: &str, dataset: &str, strategy: Strategy) -> StreamSpec {
    let table = |schema: &str, suffix: &str| TableRef {
        schema: ident(schema),
        name: ident(&format!("{dataset}{suffix}")),
    };
    let partition = |suffix| strategy.is_milestoned().then(|| table(schema, suffix));
    let columns = COLUMNS.iter().map(|(name, merge_type, large)| ColumnSpec {
        name: ident(name),
        staged_as: ident(name),
        merge_type: (*merge_type).to_owned(),
        staging_type: if *merge_type == "jsonb" {
            "text"
        } else {
            merge_type
        }
        .to_owned(),
        nullable: *name != "id",
        placeholder: large.then(|| Placeholder::Text("__debezium_unavailable_value".to_owned())),
    });
    StreamSpec {
        version: STREAM_SPEC_VERSION,
        stream: StreamKey {
            platform: schema.to_owned(),
            store: "shop".to_owned(),
            dataset: Some(dataset.to_owned()),
        },
        input: Input::Events,
        origin: None,
        source: SourcePosition::Postgres,
        datasets: vec![DatasetSpec {
            name: dataset.to_owned(),
            source_name: format!("public.{dataset}"),
            naming: 1,
            staging: table(&format!("{schema}_staging"), ""),
            merge: table(schema, ""),
            live: partition("__live"),
            closed: partition("__closed"),
            source_table: None,
            strategy,
            policy: DatasetPolicy::default(),
            key: vec![ident("id")],
            columns: columns.collect(),
            views: Vec::new(),
        }],
        transactions: None,
        limits: Limits {
            max_rows: 10_000_000,
            max_quarantined: 1000,
            incomplete_transaction_seconds: 600,
            staged_seconds: 7 * 24 * 60 * 60,
        },
    }
}

fn ident(name: &str) -> PgIdent {
    name.parse().expect("a name of ours is an identifier")
}

/// All columns, for a list.
pub(crate) fn columns() -> String {
    COLUMNS.map(|(name, ..)| name).join(", ")
}

/// The values beside the key of version `v` of key `i`.
fn image(i: &str, v: &str) -> String {
    format!(
        "'name-' || {i} || '-' || {v} as t1, md5(({i} * 31 + {v})::text) as t2, \
         'street ' || {i} % 1000 || ', city ' || {v} % 100 as t3, md5(({i} + {v})::text) as t4, \
         ({i} % 100000 / 100.0)::numeric(12,2) as n1, ({v} * 7 + {i} % 13)::numeric(12,2) as n2, \
         timestamptz '2026-01-01' + {v} * interval '1 minute' + {i} * interval '1 second' as ts, \
         ({i} + {v}) % 2 = 0 as b, jsonb_build_object('a', {i} % 100, 'v', {v}, 'tag', 'x' || {i} % 10) as j"
    )
}

/// The statements that fill the merge table of this name. History is laid down version by version, as it would have grown.
pub(crate) fn fill(table: &str, milestoned: bool, size: &Size) -> String {
    let Size { keys, versions, .. } = size;
    let columns = columns();
    let values = image("i", "v");
    if !milestoned {
        return format!(
            "insert into {table} ({columns})\n\
             select i, {values} from generate_series(1::bigint, {keys}) i, (values (1::bigint)) x(v)"
        );
    }
    let moment = |v: &str| format!("timestamptz '2026-01-01' + {v} * interval '1 hour'");
    format!(
        "insert into {table}__closed ({columns}, dp_in, dp_out, dp_source_ts)\n\
         select i, {values}, {from}, {to}, {from}\n  \
           from generate_series(1::bigint, {versions} - 1) v, generate_series(1::bigint, {keys}) i;\n\
         insert into {table}__live ({columns}, dp_in, dp_source_ts)\n\
         select i, {values}, {from}, {from} from generate_series(1::bigint, {keys}) i, (values ({versions}::bigint)) x(v)",
        from = moment("v"),
        to = moment("(v + 1)"),
    )
}

/// The statements that make a batch as the floor's table `stg`.
pub(crate) fn make_batch(size: &Size, batch: &Batch) -> String {
    let Size { keys, batches, .. } = size;
    let Batch {
        number,
        before,
        changes,
    } = batch;
    // Of ten keys that are hit repeatedly: 14 u, 5 c, 5 d. Single hits make up the shares of the whole.
    let tenth = changes / 114;
    let updates = changes * 7 / 10 - 14 * tenth;
    let creates = changes * 2 / 10 - 5 * tenth;
    let deletes = changes / 10 - 5 * tenth;
    let repeated = 2 * tenth;
    let existing = updates + deletes + 7 * tenth;
    // A batch that is too large for keys of its own hits those of others, with other kinds of changes each time.
    let hit = if existing <= keys / batches {
        format!("1 + {number} + {batches} * (n * ({keys} / {batches}) / {existing})")
    } else {
        format!("1 + (n + {number} * 7919) % {existing} * {keys} / {existing}")
    };
    let typed = COLUMNS
        .map(|(name, merge_type, _)| format!("{name} {merge_type}"))
        .join(", ");
    let values = image("e.id", &format!("(1000 + 10 * {number} + e.place)"));
    format!(
        "drop table if exists stg;\n\
         create unlogged table stg ({typed}, seq bigint, op text, event_ts timestamptz);\n\
         with kind(ops, number, existing) as (values\n  \
           ('u', {updates}, true), ('d', {deletes}, true), ('uu', {repeated}, true), ('uuu', {repeated}, true),\n  \
           ('ud', {tenth}, true), ('dc', {tenth}, true), ('dcd', {tenth}, true), ('c', {creates}, false),\n  \
           ('cd', {tenth}, false), ('cu', {tenth}, false), ('cuu', {tenth}, false)\n\
         ), hit as (\n  \
           select ops, existing, row_number() over (partition by existing order by hashint8(g * 7919), ops) - 1 as n\n    \
             from kind, generate_series(1::bigint, number) g\n\
         ), key as (\n  \
           select ops, case when existing then {hit} else {keys} + 1 + {before}::bigint + n end as id from hit\n\
         ), event as (\n  \
           select id, op, place, (hashint8(id) + 2147483648) / 4294967296.0 as at\n    \
             from key, unnest(string_to_array(ops, null)) with ordinality o(op, place)\n\
         )\n\
         insert into stg\n\
         select e.id, v.*, e.seq, e.op, timestamptz '{BATCHES_BEGIN}' + {number} * interval '1 hour' + e.seq * interval '1 microsecond'\n  \
           from (select *, row_number() over (order by at + (1 - at) * (place - 1) / 3.0, id, place) as seq from event) e\n  \
           left join lateral (select {values} where e.op <> 'd') v on true\n \
          order by e.seq;\n\
         analyze stg",
    )
}

/// The statement that stages the batch in `stg` as a sink would, in the staging table of this name.
pub(crate) fn stage(staging: &str, batch: &Batch) -> String {
    let columns = columns();
    let staged = columns.replace(", j", ", j::text");
    format!(
        "insert into {staging} ({columns}, __op, __deleted, __source_ts_us, __sequence, __lsn,\n  \
           __transaction_id, __transaction_total_order, __snapshot, __connect_topic, __connect_partition, __connect_offset)\n\
         select {staged}, op, (op = 'd')::text, (extract(epoch from event_ts) * 1000000)::bigint,\n       \
                format('[\"%s\",\"%s\"]', n * 100, n * 100 + 7), n * 100 + 7, 700 + n || ':' || n * 100 + 7, 1, 'false',\n       \
                'shop.public.customers', 0, n\n  \
           from (select *, {before}::bigint + seq as n from stg) e order by seq",
        before = batch.before,
    )
}
