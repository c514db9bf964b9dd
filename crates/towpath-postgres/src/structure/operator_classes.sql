-- operator classes; what they consist of is listed with their families
select n.nspname as schema,
       o.opcname as name,
       m.amname as args,
       o.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(o.opcowner) as owner,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'method', m.amname,
           'family', pg_catalog.format('%I.%I', fn.nspname, f.opfname),
           'type', pg_catalog.format_type(o.opcintype, null),
           'storage', case when o.opckeytype <> 0
               then pg_catalog.format_type(o.opckeytype, null) end,
           'default', o.opcdefault)) as aspects
from pg_catalog.pg_opclass o
join pg_catalog.pg_am m on m.oid = o.opcmethod
join pg_catalog.pg_opfamily f on f.oid = o.opcfamily
join pg_catalog.pg_namespace fn on fn.oid = f.opfnamespace
join pg_catalog.pg_namespace n on n.oid = o.opcnamespace
where n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
