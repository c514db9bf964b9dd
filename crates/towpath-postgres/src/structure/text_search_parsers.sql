-- text search parsers
select n.nspname as schema,
       p.prsname as name,
       p.oid::int8 as oid,
       pg_catalog.jsonb_build_object(
           'start', p.prsstart::oid::regprocedure::text,
           'token', p.prstoken::oid::regprocedure::text,
           'end', p.prsend::oid::regprocedure::text,
           'headline', p.prsheadline::oid::regprocedure::text,
           'token_types', p.prslextype::oid::regprocedure::text) as aspects
from pg_catalog.pg_ts_parser p
join pg_catalog.pg_namespace n on n.oid = p.prsnamespace
where n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
