-- begin
BEGIN;
-- dedup
CREATE TEMP TABLE dd ON COMMIT DROP AS SELECT DISTINCT ON (id) * FROM stg ORDER BY id, seq DESC;
-- dedup
ANALYZE dd (id, op);
-- switches
SET LOCAL enable_hashjoin = off;
-- switches
SET LOCAL enable_mergejoin = off;
-- merge
INSERT INTO floor.customers__closed (id,t1,t2,t3,t4,n1,n2,ts,b,j,dp_in,dp_out,dp_source_ts)
 SELECT h.id,h.t1,h.t2,h.t3,h.t4,h.n1,h.n2,h.ts,h.b,h.j,h.dp_in,now(),h.dp_source_ts
   FROM dd s JOIN floor.customers__live h ON h.id = s.id;
-- merge
MERGE INTO floor.customers__live t USING dd s ON t.id = s.id
 WHEN MATCHED AND s.op = 'd' THEN DELETE
 WHEN MATCHED THEN UPDATE SET t1=s.t1,t2=s.t2,t3=s.t3,t4=s.t4,n1=s.n1,n2=s.n2,ts=s.ts,b=s.b,j=s.j,
      dp_in=now(),dp_source_ts=s.event_ts
 WHEN NOT MATCHED AND s.op <> 'd' THEN INSERT (id,t1,t2,t3,t4,n1,n2,ts,b,j,dp_in,dp_source_ts)
      VALUES (s.id,s.t1,s.t2,s.t3,s.t4,s.n1,s.n2,s.ts,s.b,s.j,now(),s.event_ts);
-- commit
COMMIT;
