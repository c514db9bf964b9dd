-- schemas
select n.nspname as name,
       n.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(n.nspowner) as owner,
       '{}'::jsonb as aspects
from pg_catalog.pg_namespace n
where n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
