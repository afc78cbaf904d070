-- begin
BEGIN;
-- dedup
CREATE TEMP TABLE dd ON COMMIT DROP AS
  SELECT DISTINCT ON (id) * FROM stg ORDER BY id, seq DESC;
-- dedup
ANALYZE dd (id, op);
-- switches
SET LOCAL enable_hashjoin = off;
-- switches
SET LOCAL enable_mergejoin = off;
-- merge
MERGE INTO floor.customers t USING dd s ON t.id = s.id
 WHEN MATCHED AND s.op = 'd' THEN DELETE
 WHEN MATCHED THEN UPDATE SET t1=s.t1,t2=s.t2,t3=s.t3,t4=s.t4,n1=s.n1,n2=s.n2,ts=s.ts,b=s.b,j=s.j
 WHEN NOT MATCHED AND s.op <> 'd' THEN INSERT (id,t1,t2,t3,t4,n1,n2,ts,b,j)
      VALUES (s.id,s.t1,s.t2,s.t3,s.t4,s.n1,s.n2,s.ts,s.b,s.j);
-- commit
COMMIT;
