-- extensions
select e.extname as name,
       e.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(e.extowner) as owner,
       pg_catalog.jsonb_build_object(
           'version', e.extversion,
           'schema', n.nspname) as aspects
from pg_catalog.pg_extension e
join pg_catalog.pg_namespace n on n.oid = e.extnamespace
