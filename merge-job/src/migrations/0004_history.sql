-- What was removed for ever, per dataset, and the index that finds the batches since a moment. Everything here is added; a release of version 3 reads on.

create table milepost.retention (
    platform             text not null,
    store                text not null,
    dataset              text not null,
    trimmed_source_ts_us bigint,
    history_from         timestamptz,
    primary key (platform, store, dataset)
) with (fillfactor = 50);
comment on table milepost.retention is
    'One row per dataset of which something was removed for ever. A table of its own, for a batch holds the row of milepost.datasets.';
comment on column milepost.retention.trimmed_source_ts_us is
    'The newest commit time at the source among the staged rows that were trimmed: what they said is not known any more.';
comment on column milepost.retention.history_from is
    'The horizon: closed versions that ended at or before it are gone, or about to be. Stored before the first of them is removed; never goes back.';

create index batches_finished on milepost.batches (platform, store, dataset, finished_at) where status = 'succeeded';
