-- sequences, those of identity columns included
select n.nspname as schema,
       c.relname as name,
       c.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(c.relowner) as owner,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'persistence', case c.relpersistence when 'p' then 'permanent'
                                                when 'u' then 'unlogged' end,
           'type', pg_catalog.format_type(s.seqtypid, null),
           'start', s.seqstart,
           'increment', s.seqincrement,
           'min', s.seqmin,
           'max', s.seqmax,
           'cache', s.seqcache,
           'cycle', s.seqcycle,
           'identity', coalesce(o.deptype = 'i', false),
           'owned_by', case when o.deptype is not null then
               pg_catalog.jsonb_build_object(
                   'table', o.refobjid::regclass::text,
                   'column', o.attname) end)) as aspects
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_sequence s on s.seqrelid = c.oid
left join lateral (
    select d.deptype, d.refobjid, a.attname
    from pg_catalog.pg_depend d
    join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    where d.classid = 'pg_catalog.pg_class'::regclass
      and d.objid = c.oid
      and d.objsubid = 0
      and d.refclassid = 'pg_catalog.pg_class'::regclass
      and d.refobjsubid > 0
      and d.deptype in ('a', 'i')
) o on true
where c.relkind = 'S'
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
