-- sequences, those of identity columns included
select n.nspname as schema,
       c.relname as name
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'S'
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and not exists (
      select 1
      from pg_catalog.pg_depend d
      where d.classid = 'pg_catalog.pg_class'::regclass
        and d.objid = c.oid
        and d.objsubid = 0
        and d.refclassid = 'pg_catalog.pg_extension'::regclass
        and d.deptype = 'e')
order by n.nspname collate "C", c.relname collate "C"
