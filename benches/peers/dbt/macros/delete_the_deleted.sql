{# No incremental strategy of dbt deletes what the batch says is deleted. #}
{% macro delete_the_deleted() %}
  {% if is_incremental() %}
    delete from {{ this }} t
     using (select distinct on (id) id, op from public.stg order by id, seq desc) last
     where last.op = 'd' and t.id = last.id
  {% endif %}
{% endmacro %}
