-- indexes that no constraint owns
select n.nspname as schema,
       t.relname as "on",
       c.relname as name,
       c.oid::int8 as oid,
       t.oid::int8 as member_with,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'definition', pg_catalog.pg_get_indexdef(c.oid),
           -- One that writes pass by is as good as invalid.
           'valid', x.indisvalid and x.indisready and x.indislive,
           'clustered', x.indisclustered,
           'replica_identity', x.indisreplident,
           'attached_to', (select i.inhparent::regclass::text
                           from pg_catalog.pg_inherits i
                           where i.inhrelid = c.oid),
           -- Numbers of columns within an index have no gaps.
           'statistics', (
               select pg_catalog.jsonb_object_agg(a.attnum::text, a.attstattarget)
               from pg_catalog.pg_attribute a
               where a.attrelid = c.oid
                 and a.attstattarget >= 0))) as aspects
from pg_catalog.pg_index x
join pg_catalog.pg_class c on c.oid = x.indexrelid
join pg_catalog.pg_class t on t.oid = x.indrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where t.relkind in ('r', 'p', 'm')
  and t.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and not exists (
      select 1
      from pg_catalog.pg_constraint o
      where o.conrelid = x.indrelid
        and o.conindid = x.indexrelid
        and o.contype in ('p', 'u', 'x'))
