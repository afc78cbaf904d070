-- Control tables of Milepost. Expand, then contract: a release reads what the one before wrote.

create table milepost.plans (
    platform      text primary key,
    plan_version  integer not null,
    model_version text not null,
    model_order   bigint not null,
    plan          text not null,
    published_at  timestamptz not null default clock_timestamp()
);
comment on table milepost.plans is 'The published platform.json of each platform.';

create table milepost.streams (
    id                   bigint generated always as identity primary key,
    platform             text not null,
    store                text not null,
    dataset              text,
    wanted               boolean not null default true,
    spec                 text not null,
    spec_version         integer not null,
    spec_digest          text not null,
    model_version        text not null,
    batch_number         bigint not null default 0,
    checked_at           timestamptz,
    consecutive_failures integer not null default 0,
    blocked_on           text,
    blocked_since        timestamptz,
    unique nulls not distinct (platform, store, dataset)
) with (fillfactor = 50);
comment on table milepost.streams is
    'One row per batch stream: its published spec, and the control row that a batch locks. dataset is null for a multi-dataset stream.';

create table milepost.datasets (
    platform        text not null,
    store           text not null,
    dataset         text not null,
    merge_schema    text not null,
    merge_table     text not null,
    naming          integer not null,
    strategy        text not null,
    last_batch_time timestamptz,
    primary key (platform, store, dataset)
) with (fillfactor = 50);
comment on table milepost.datasets is 'One row per merge table: the greatest batch time that it holds.';

create table milepost.positions (
    platform            text not null,
    store               text not null,
    dataset             text not null,
    topic               text not null,
    partition           integer not null,
    watermark           bigint not null,
    fence_commit        bigint,
    fence_row           bigint,
    fence_order         bigint,
    newest_source_ts_us bigint,
    watermark_row       jsonb,
    in_snapshot         boolean not null default false,
    primary key (platform, store, dataset, topic, partition)
) with (fillfactor = 50);
comment on table milepost.positions is
    'How far each topic partition is merged: the watermark (Kafka offset), the replay fence (source position), the identity of the row at the watermark. dataset is empty for the transaction topic of a store.';

create table milepost.batches (
    id                   bigint generated always as identity primary key,
    stream_id            bigint not null references milepost.streams (id),
    platform             text not null,
    store                text not null,
    dataset              text,
    batch_number         bigint not null,
    batch_time           timestamptz,
    status               text not null check (status in ('succeeded', 'failed')),
    started_at           timestamptz not null,
    finished_at          timestamptz not null,
    alignment            text check (alignment in ('exact', 'staged')),
    rows_staged          bigint not null default 0,
    rows_inserted        bigint not null default 0,
    rows_updated         bigint not null default 0,
    rows_deleted         bigint not null default 0,
    rows_unchanged       bigint not null default 0,
    rows_overtaken       bigint not null default 0,
    rows_replayed        bigint not null default 0,
    rows_quarantined     bigint not null default 0,
    rows_truncate        bigint not null default 0,
    rows_closed          bigint not null default 0,
    positions_from       jsonb,
    positions_to         jsonb,
    model_version        text not null,
    spec_version         integer not null,
    error                text,
    sqlstate             text,
    hint                 text,
    consecutive_failures integer not null default 0,
    check (status = 'failed' or rows_staged = rows_inserted + rows_updated + rows_deleted + rows_unchanged
        + rows_overtaken + rows_replayed + rows_quarantined + rows_truncate)
);
create index on milepost.batches (stream_id, id);
comment on table milepost.batches is
    'One row per batch attempt: the metrics. Written in the transaction of the batch when it succeeds, in another when it fails.';

create table milepost.batch_datasets (
    batch_id         bigint not null references milepost.batches (id) on delete cascade,
    dataset          text not null,
    rows_staged      bigint not null,
    rows_inserted    bigint not null,
    rows_updated     bigint not null,
    rows_deleted     bigint not null,
    rows_unchanged   bigint not null,
    rows_overtaken   bigint not null,
    rows_replayed    bigint not null,
    rows_quarantined bigint not null,
    rows_truncate    bigint not null,
    rows_closed      bigint not null,
    primary key (batch_id, dataset)
);
comment on table milepost.batch_datasets is 'The counts of each batch per dataset.';

create table milepost.quarantine (
    id             bigint generated always as identity primary key,
    platform       text not null,
    store          text not null,
    dataset        text not null,
    topic          text not null,
    partition      integer not null,
    "offset"       bigint not null,
    batch_number   bigint not null,
    reason         text not null,
    key            jsonb not null,
    payload        jsonb not null,
    status         text not null default 'open' check (status in ('open', 'superseded', 'replayed', 'discarded')),
    quarantined_at timestamptz not null default clock_timestamp(),
    closed_at      timestamptz,
    unique (platform, store, dataset, topic, partition, "offset")
);
-- Not the key: it may be longer than an index entry.
create index on milepost.quarantine (platform, store, dataset) where status = 'open';
comment on table milepost.quarantine is 'Staged rows that could not be merged, each with its position, reason and payload.';

create table milepost.events (
    id           bigint generated always as identity primary key,
    at           timestamptz not null default clock_timestamp(),
    platform     text not null,
    store        text,
    dataset      text,
    severity     text not null check (severity in ('info', 'warning', 'error')),
    message      text not null,
    hint         text,
    delivered_at timestamptz
);
create index on milepost.events (id) where delivered_at is null;
comment on table milepost.events is 'What an operator should know; delivered by the notify job.';

create view milepost.stream_status as
with position as (
    select s.id as stream_id,
           max(p.newest_source_ts_us) as newest_us,
           bool_or(p.in_snapshot) as in_snapshot
      from milepost.streams s
      join milepost.positions p
        on p.platform = s.platform and p.store = s.store and (s.dataset is null or p.dataset = s.dataset)
     group by s.id
), connector as (
    select platform, store, max(newest_source_ts_us) as newest_us from milepost.positions group by platform, store
), quarantined as (
    select platform, store, dataset, count(*) as open
      from milepost.quarantine where status = 'open' group by platform, store, dataset
)
select s.platform, s.store, s.dataset,
       case when not s.wanted then 'retired'
            when s.consecutive_failures > 0 then 'failed'
            when s.checked_at is null then 'never-run'
            when position.in_snapshot then 'snapshot'
            when s.blocked_on is not null then 'waiting'
            else 'healthy' end as status,
       s.checked_at,
       s.batch_number,
       b.batch_time as last_batch_time,
       to_timestamp(position.newest_us / 1e6) as newest_source_time,
       (connector.newest_us - position.newest_us) / 1e6 as behind_connector_seconds,
       s.consecutive_failures,
       f.error as last_error, f.sqlstate as last_sqlstate, f.hint as last_hint, f.finished_at as last_failed_at,
       s.blocked_on, s.blocked_since,
       (select coalesce(sum(q.open), 0)::bigint from quarantined q
         where q.platform = s.platform and q.store = s.store and (s.dataset is null or q.dataset = s.dataset)) as open_quarantine,
       s.model_version
  from milepost.streams s
  left join position on position.stream_id = s.id
  left join connector on connector.platform = s.platform and connector.store = s.store
  left join lateral (select batch_time from milepost.batches b
                      where b.stream_id = s.id and b.status = 'succeeded' order by b.id desc limit 1) b on true
  left join lateral (select error, sqlstate, hint, finished_at from milepost.batches b
                      where b.stream_id = s.id and b.status = 'failed' order by b.id desc limit 1) f on true;
comment on view milepost.stream_status is 'Is each stream healthy, how late is it, what failed.';
