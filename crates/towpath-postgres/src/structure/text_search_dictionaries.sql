-- text search dictionaries
select n.nspname as schema,
       d.dictname as name,
       d.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(d.dictowner) as owner,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'template', pg_catalog.format('%I.%I', tn.nspname, t.tmplname),
           'options', d.dictinitoption)) as aspects
from pg_catalog.pg_ts_dict d
join pg_catalog.pg_ts_template t on t.oid = d.dicttemplate
join pg_catalog.pg_namespace tn on tn.oid = t.tmplnamespace
join pg_catalog.pg_namespace n on n.oid = d.dictnamespace
where n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
