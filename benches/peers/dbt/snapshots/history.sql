{# A snapshot wants one row per key; a delete is a version that says so. #}
{% snapshot history %}
{{ config(unique_key="id", strategy="timestamp", updated_at="event_ts") }}
{% if env_var("PEER_ACTION") == "load" %}
select id, t1, t2, t3, t4, n1, n2, ts, b, j, timestamptz '{{ env_var("PEER_BEFORE_BATCHES") }}' as event_ts, false as is_deleted
  from public.initial
{% else %}
select distinct on (id) id, t1, t2, t3, t4, n1, n2, ts, b, j, event_ts, op = 'd' as is_deleted
  from public.stg
 order by id, seq desc
{% endif %}
{% endsnapshot %}
