-- begin
BEGIN;
-- dedup
CREATE TEMP TABLE ev ON COMMIT DROP AS
 SELECT *, lead(event_ts) OVER w AS nxt, row_number() OVER w AS rn FROM stg WINDOW w AS (PARTITION BY id ORDER BY seq);
-- dedup
ANALYZE ev (id, op);
-- switches
SET LOCAL enable_hashjoin = off;
-- switches
SET LOCAL enable_mergejoin = off;
-- merge
INSERT INTO floor.customers__closed (id,t1,t2,t3,t4,n1,n2,ts,b,j,dp_in,dp_out,dp_source_ts)
 SELECT h.id,h.t1,h.t2,h.t3,h.t4,h.n1,h.n2,h.ts,h.b,h.j,h.dp_in,s.event_ts,h.dp_source_ts
   FROM ev s JOIN floor.customers__live h ON h.id = s.id WHERE s.rn = 1;
-- merge
INSERT INTO floor.customers__closed (id,t1,t2,t3,t4,n1,n2,ts,b,j,dp_in,dp_out,dp_source_ts)
 SELECT s.id,s.t1,s.t2,s.t3,s.t4,s.n1,s.n2,s.ts,s.b,s.j,s.event_ts,s.nxt,s.event_ts
   FROM ev s WHERE s.op <> 'd' AND s.nxt IS NOT NULL;
-- merge
MERGE INTO floor.customers__live t USING (SELECT * FROM ev WHERE nxt IS NULL) s ON t.id = s.id
 WHEN MATCHED AND s.op = 'd' THEN DELETE
 WHEN MATCHED THEN UPDATE SET t1=s.t1,t2=s.t2,t3=s.t3,t4=s.t4,n1=s.n1,n2=s.n2,ts=s.ts,b=s.b,j=s.j,
      dp_in=s.event_ts,dp_source_ts=s.event_ts
 WHEN NOT MATCHED AND s.op <> 'd' THEN INSERT (id,t1,t2,t3,t4,n1,n2,ts,b,j,dp_in,dp_source_ts)
      VALUES (s.id,s.t1,s.t2,s.t3,s.t4,s.n1,s.n2,s.ts,s.b,s.j,s.event_ts,s.event_ts);
-- commit
COMMIT;
