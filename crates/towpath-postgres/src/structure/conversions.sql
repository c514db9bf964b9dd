-- encoding conversions
select n.nspname as schema,
       c.conname as name,
       c.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(c.conowner) as owner,
       pg_catalog.jsonb_build_object(
           'for_encoding', pg_catalog.pg_encoding_to_char(c.conforencoding),
           'to_encoding', pg_catalog.pg_encoding_to_char(c.contoencoding),
           'function', c.conproc::oid::regprocedure::text,
           'default', c.condefault) as aspects
from pg_catalog.pg_conversion c
join pg_catalog.pg_namespace n on n.oid = c.connamespace
where n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
