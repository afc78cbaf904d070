-- Tables that no published stream has any more, and which staging table each dataset had. Everything here is added; a release of version 6 reads on.

create table milepost.unused_tables (
    schema       text not null,
    name         text not null,
    table_oid    oid not null,
    platform     text not null,
    store        text,
    dataset      text,
    rows         bigint not null,
    bytes        bigint not null,
    unused_since timestamptz not null default clock_timestamp(),
    seen         pg_snapshot not null default pg_current_snapshot(),
    primary key (schema, name)
);
comment on table milepost.unused_tables is
    'One row per table of ours that no published stream has: it is removed once it was unused for the grace time.';
comment on column milepost.unused_tables.rows is 'An estimate of the server, of the time when the table was listed.';
comment on column milepost.unused_tables.unused_since is
    'When it was found to be unused, or when staged rows were last found to have come since.';
comment on column milepost.unused_tables.seen is
    'Which transactions had ended then: a row of any other one was written since.';

alter table milepost.datasets add column staging_schema text, add column staging_table text;
update milepost.datasets d
   set staging_schema = n.staging ->> 'schema', staging_table = n.staging ->> 'name'
  from (select distinct on (s.platform, s.store, own ->> 'name') s.platform, s.store, own ->> 'name' as dataset, own -> 'staging' as staging
          from milepost.streams s, jsonb_array_elements(s.spec::jsonb -> 'datasets') own
         order by s.platform, s.store, own ->> 'name', s.wanted desc, s.id desc) n
 where (d.platform, d.store, d.dataset) = (n.platform, n.store, n.dataset);
comment on column milepost.datasets.staging_table is
    'Where the events of the dataset arrive, also after the spec that said so is gone: both tables go together.';
