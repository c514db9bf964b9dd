-- user mappings: who only, their options are passwords
select u.usename as name,
       u.srvname as args,
       u.umid::int8 as oid,
       '{}'::jsonb as aspects
from pg_catalog.pg_user_mappings u
