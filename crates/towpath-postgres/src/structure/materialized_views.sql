-- materialized views
select n.nspname as schema,
       c.relname as name,
       c.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(c.relowner) as owner,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'definition', pg_catalog.pg_get_viewdef(c.oid),
           'populated', c.relispopulated,
           'access_method', m.amname,
           'options', (select pg_catalog.jsonb_agg(o.option order by o.option collate "C")
                       from pg_catalog.unnest(c.reloptions) as o (option)))) as aspects
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_am m on m.oid = c.relam
where c.relkind = 'm'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
