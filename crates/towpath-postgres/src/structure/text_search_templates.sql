-- text search templates
select n.nspname as schema,
       t.tmplname as name,
       t.oid::int8 as oid,
       pg_catalog.jsonb_build_object(
           'init', t.tmplinit::oid::regprocedure::text,
           'lexize', t.tmpllexize::oid::regprocedure::text) as aspects
from pg_catalog.pg_ts_template t
join pg_catalog.pg_namespace n on n.oid = t.tmplnamespace
where n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
