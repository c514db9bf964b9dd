-- enum, composite, range, base and shell types
select n.nspname as schema,
       t.typname as name,
       t.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(t.typowner) as owner,
       pg_catalog.jsonb_strip_nulls(case
           when t.typtype = 'e' then pg_catalog.jsonb_build_object(
               'kind', 'enum',
               'labels', coalesce(
                   (select pg_catalog.jsonb_agg(e.enumlabel order by e.enumsortorder)
                    from pg_catalog.pg_enum e
                    where e.enumtypid = t.oid), '[]'))
           when t.typtype = 'c' then pg_catalog.jsonb_build_object(
               'kind', 'composite',
               'attributes', coalesce(
                   (select pg_catalog.jsonb_agg(
                               pg_catalog.jsonb_build_object(
                                   'name', a.attname,
                                   'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
                                   'collation', case when a.attcollation <> u.typcollation
                                       then a.attcollation::regcollation::text end,
                                   'comment', pg_catalog.col_description(a.attrelid, a.attnum))
                               order by a.attnum)
                    from pg_catalog.pg_attribute a
                    join pg_catalog.pg_type u on u.oid = a.atttypid
                    where a.attrelid = t.typrelid
                      and a.attnum > 0
                      and not a.attisdropped), '[]'))
           when t.typtype = 'r' then
               (select pg_catalog.jsonb_build_object(
                           'kind', 'range',
                           'subtype', pg_catalog.format_type(r.rngsubtype, null),
                           'collation', case when r.rngcollation <> s.typcollation
                               then r.rngcollation::regcollation::text end,
                           'operator_class', (
                               select pg_catalog.format('%I.%I', p.nspname, o.opcname)
                               from pg_catalog.pg_opclass o
                               join pg_catalog.pg_namespace p on p.oid = o.opcnamespace
                               where o.oid = r.rngsubopc),
                           'canonical', case when r.rngcanonical <> 0
                               then r.rngcanonical::oid::regprocedure::text end,
                           'subtype_diff', case when r.rngsubdiff <> 0
                               then r.rngsubdiff::oid::regprocedure::text end,
                           'multirange', pg_catalog.format_type(r.rngmultitypid, null))
                from pg_catalog.pg_range r
                join pg_catalog.pg_type s on s.oid = r.rngsubtype
                where r.rngtypid = t.oid)
           when not t.typisdefined or t.typtype = 'p' then
               pg_catalog.jsonb_build_object('kind', 'shell')
           else pg_catalog.jsonb_build_object(
               'kind', 'base',
               'input', t.typinput::oid::regprocedure::text,
               'output', t.typoutput::oid::regprocedure::text,
               'receive', case when t.typreceive <> 0
                   then t.typreceive::oid::regprocedure::text end,
               'send', case when t.typsend <> 0
                   then t.typsend::oid::regprocedure::text end,
               'typmod_in', case when t.typmodin <> 0
                   then t.typmodin::oid::regprocedure::text end,
               'typmod_out', case when t.typmodout <> 0
                   then t.typmodout::oid::regprocedure::text end,
               'analyze', case when t.typanalyze <> 0
                   then t.typanalyze::oid::regprocedure::text end,
               'subscript', case when t.typsubscript <> 0
                   then t.typsubscript::oid::regprocedure::text end,
               'length', t.typlen,
               'by_value', t.typbyval,
               'alignment', t.typalign,
               'storage', t.typstorage,
               'category', t.typcategory,
               'preferred', t.typispreferred,
               'default', t.typdefault,
               'element', case when t.typelem <> 0
                   then pg_catalog.format_type(t.typelem, null) end,
               'delimiter', t.typdelim,
               'collatable', t.typcollation <> 0)
       end) as aspects
from pg_catalog.pg_type t
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
where t.typtype in ('b', 'c', 'e', 'p', 'r')
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  -- Arrays come with their elements, row types with their tables.
  and not exists (select 1
                  from pg_catalog.pg_type e
                  where e.oid = t.typelem
                    and e.typarray = t.oid)
  and not exists (select 1
                  from pg_catalog.pg_class c
                  where c.oid = t.typrelid
                    and c.relkind <> 'c')
