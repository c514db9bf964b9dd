-- access methods that did not come with the server
select m.amname as name,
       m.oid::int8 as oid,
       pg_catalog.jsonb_build_object(
           'type', case m.amtype when 't' then 'table' when 'i' then 'index' end,
           'handler', m.amhandler::oid::regprocedure::text) as aspects
from pg_catalog.pg_am m
-- 16384 is where numbers for users' objects begin.
where m.oid >= 16384
