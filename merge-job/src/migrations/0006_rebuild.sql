-- Merge tables that were made anew: until when they lack rows. Everything here is added; a release of version 5 reads on.

alter table milepost.positions add column refill_after bigint, add column refill_upto bigint;
comment on column milepost.positions.refill_after is
    'The merge table was made anew at this watermark: it lacks rows until a complete snapshot that began above it is merged.';
comment on column milepost.positions.refill_upto is
    'The merge table was made anew and is filled from staging: it lacks rows until everything up to this offset is merged again.';

create or replace view milepost.stream_status as
with position as (
    select s.id as stream_id,
           max(p.newest_source_ts_us) as newest_us,
           bool_or(p.in_snapshot or p.refill_after is not null or p.refill_upto is not null) as in_snapshot
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
