-- domains with their constraints
select n.nspname as schema,
       t.typname as name,
       t.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(t.typowner) as owner,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'type', pg_catalog.format_type(t.typbasetype, t.typtypmod),
           'collation', case when t.typcollation <> b.typcollation
               then t.typcollation::regcollation::text end,
           'not_null', t.typnotnull,
           'default', coalesce(
               pg_catalog.pg_get_expr(t.typdefaultbin, 'pg_catalog.pg_type'::regclass),
               t.typdefault),
           'constraints', coalesce(
               -- Not-null constraints of domains are rows of their own since 17.
               (select pg_catalog.jsonb_agg(
                           pg_catalog.jsonb_build_object(
                               'name', c.conname,
                               'definition', pg_catalog.pg_get_constraintdef(c.oid),
                               'validated', c.convalidated,
                               'comment',
                                   pg_catalog.obj_description(c.oid, 'pg_constraint'))
                           order by c.conname collate "C")
                from pg_catalog.pg_constraint c
                where c.contypid = t.oid
                  and c.contype = 'c'), '[]'))) as aspects
from pg_catalog.pg_type t
join pg_catalog.pg_type b on b.oid = t.typbasetype
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
where t.typtype = 'd'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
