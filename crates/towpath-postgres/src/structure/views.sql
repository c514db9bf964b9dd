-- views; the check option is one of the options
select n.nspname as schema,
       c.relname as name,
       c.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(c.relowner) as owner,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'definition', pg_catalog.pg_get_viewdef(c.oid),
           'options', (select pg_catalog.jsonb_agg(o.option order by o.option collate "C")
                       from pg_catalog.unnest(c.reloptions) as o (option)))) as aspects
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'v'
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
