MODEL (
  name @{schema}.live,
  kind INCREMENTAL_BY_UNIQUE_KEY (
    unique_key id
  ),
  cron '@hourly',
  columns (
    id bigint, t1 text, t2 text, t3 text, t4 text, n1 numeric(12,2), n2 numeric(12,2), ts timestamptz, b boolean, j jsonb
  )
);

SELECT id, t1, t2, t3, t4, n1, n2, ts, b, j
FROM (SELECT DISTINCT ON (id) * FROM public.stg ORDER BY id, seq DESC) AS last
WHERE op <> 'd';

/* A deleted row must not be inserted, so it is none of the model's; what the target has of it goes here. */
@IF(
  @runtime_stage = 'evaluating',
  DELETE FROM @this_model AS t
  USING (SELECT DISTINCT ON (id) id, op FROM public.stg ORDER BY id, seq DESC) AS last
  WHERE last.op = 'd' AND t.id = last.id
);
