MODEL (
  name @{schema}.history,
  kind SCD_TYPE_2_BY_TIME (
    unique_key id,
    time_data_type timestamptz,
    invalidate_hard_deletes true
  ),
  cron '@hourly',
  columns (
    id bigint, t1 text, t2 text, t3 text, t4 text, n1 numeric(12,2), n2 numeric(12,2), ts timestamptz, b boolean, j jsonb,
    updated_at timestamptz, valid_from timestamptz, valid_to timestamptz
  )
);

SELECT id, t1, t2, t3, t4, n1, n2, ts, b, j, updated_at
FROM public.snapshot;
