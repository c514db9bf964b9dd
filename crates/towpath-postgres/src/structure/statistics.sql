-- extended statistics
select n.nspname as schema,
       s.stxname as name,
       s.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(s.stxowner) as owner,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           -- In parts: the whole leaves out brackets, and with them what is cast.
           'of', s.stxrelid::regclass::text,
           'kinds', (select pg_catalog.jsonb_agg(k.kind order by k.kind)
                     from pg_catalog.unnest(s.stxkind) as k (kind)),
           'columns', (select pg_catalog.jsonb_agg(a.attname order by k.position)
                       from pg_catalog.unnest(s.stxkeys::int2[]) with ordinality as k (number, position)
                       join pg_catalog.pg_attribute a
                           on a.attrelid = s.stxrelid and a.attnum = k.number),
           'definition', pg_catalog.to_jsonb(pg_catalog.pg_get_statisticsobjdef_expressions(s.oid)),
           -- No target of its own is -1 up to 16 and NULL since.
           'target', nullif(s.stxstattarget, -1))) as aspects
from pg_catalog.pg_statistic_ext s
join pg_catalog.pg_namespace n on n.oid = s.stxnamespace
where n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
