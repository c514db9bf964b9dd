-- indexes that queries cannot use or that writes pass by
select n.nspname as schema,
       t.relname as "table",
       c.relname as name,
       x.indisvalid as valid,
       x.indisready and x.indislive as ready,
       exists (
           select
           from pg_catalog.pg_stat_progress_create_index p
           where p.datname = pg_catalog.current_database()
             and p.index_relid = c.oid) as is_being_built
from pg_catalog.pg_index x
join pg_catalog.pg_class c on c.oid = x.indexrelid
join pg_catalog.pg_class t on t.oid = x.indrelid
join pg_catalog.pg_namespace n on n.oid = t.relnamespace
where not (x.indisvalid and x.indisready and x.indislive)
  and t.relpersistence <> 't'
  and (n.nspname !~ '^pg_' or n.nspname = 'pg_toast')
  and n.nspname <> 'information_schema'
order by 1, 2, 3
