{{ config(
    materialized="incremental",
    incremental_strategy="delete+insert",
    unique_key="id",
    indexes=[{"columns": ["id"], "unique": true}],
    post_hook="{{ delete_the_deleted() }}",
) }}
{% if is_incremental() %}
select id, t1, t2, t3, t4, n1, n2, ts, b, j
  from (select distinct on (id) * from public.stg order by id, seq desc) last
 where op <> 'd'
{% else %}
select * from public.initial
{% endif %}
