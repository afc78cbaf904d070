-- What the engine keeps besides progress and metrics. Everything here is added; a release of version 1 reads on.

-- New snapshots: where the open one began, and how many rows were closed because a complete one does not have them.

alter table milepost.positions add column snapshot_from bigint;
comment on column milepost.positions.snapshot_from is
    'The first offset of the snapshot that is open, where its end may show rows to be missing: staging from there on is not trimmed.';
alter table milepost.batches add column rows_healed bigint not null default 0;
alter table milepost.batch_datasets add column rows_healed bigint not null default 0;
comment on column milepost.batches.rows_healed is
    'Rows closed because a complete snapshot does not have them. No staged row says so: they are in no class of staged rows.';
