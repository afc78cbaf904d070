-- What was erased, without what it was. Added: a release of version 4 reads on.

create table milepost.erasures (
    id                   bigint generated always as identity primary key,
    platform             text not null,
    store                text not null,
    dataset              text not null,
    erased_at            timestamptz not null default clock_timestamp(),
    erased_by            text not null default session_user,
    reason               text,
    keys                 bigint not null,
    rows_live            bigint not null,
    rows_history         bigint not null,
    rows_staged          bigint not null,
    rows_redacted        bigint not null,
    quarantine_open      bigint not null,
    quarantine_closed    bigint not null,
    positions            bigint not null,
    batch_number         bigint,
    model_version        text not null
);
create index on milepost.erasures (platform, store, dataset, id);
comment on table milepost.erasures is
    'One row per erasure: when, by whom, why, how many keys, and what was removed where. No value of a row, and nothing made of one.';
comment on column milepost.erasures.rows_redacted is
    'Staged rows that stay without any value of the source, since a topic is recognised by them.';
comment on column milepost.erasures.positions is
    'Topic partitions of which the last or lowest row was one of the keys: what milepost.positions keeps of it has no values any more.';
comment on column milepost.erasures.batch_number is
    'The batch that removed the rows; null where nothing was found.';
