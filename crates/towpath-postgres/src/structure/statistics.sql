-- extended statistics
select n.nspname as schema,
       s.stxname as name,
       s.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(s.stxowner) as owner,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'definition', pg_catalog.pg_get_statisticsobjdef(s.oid),
           -- No target of its own is -1 up to 16 and NULL since.
           'target', nullif(s.stxstattarget, -1))) as aspects
from pg_catalog.pg_statistic_ext s
join pg_catalog.pg_namespace n on n.oid = s.stxnamespace
where n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
