-- constraints of tables
select n.nspname as schema,
       t.relname as "on",
       c.conname as name,
       c.oid::int8 as oid,
       t.oid::int8 as member_with,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'type', case c.contype when 'p' then 'primary key'
                                  when 'u' then 'unique'
                                  when 'f' then 'foreign key'
                                  when 'c' then 'check'
                                  when 'x' then 'exclude'
                                  else c.contype::text end,
           'definition', pg_catalog.pg_get_constraintdef(c.oid),
           'validated', c.convalidated,
           'deferrable', c.condeferrable,
           'deferred', c.condeferred,
           'local', c.conislocal,
           'inherited', c.coninhcount > 0 or c.conparentid <> 0,
           'parent', (select p.conrelid::regclass::text || ' '
                             || pg_catalog.quote_ident(p.conname)
                      from pg_catalog.pg_constraint p
                      where p.oid = c.conparentid),
           -- An index of the constraint's own says what its definition leaves out: operator
           -- classes, order, fill factor.
           'index', case when c.contype in ('p', 'u', 'x')
               then pg_catalog.pg_get_indexdef(c.conindid) end,
           'index_valid', case when c.contype in ('p', 'u', 'x')
               then x.indisvalid and x.indisready and x.indislive end,
           'index_clustered', case when c.contype in ('p', 'u', 'x') then x.indisclustered end,
           'index_comment', case when c.contype in ('p', 'u', 'x')
               then pg_catalog.obj_description(c.conindid, 'pg_class') end,
           -- Which triggers of a foreign key, or of a deferred unique constraint, are off: `alter
           -- table … disable trigger all`.
           'disabled_triggers', case when c.contype in ('f', 'p', 'u', 'x') then (
               select nullif(pg_catalog.count(*), 0)
               from pg_catalog.pg_trigger g
               where g.tgconstraint = c.oid
                 and g.tgenabled <> 'O') end)) as aspects
from pg_catalog.pg_constraint c
join pg_catalog.pg_class t on t.oid = c.conrelid
join pg_catalog.pg_namespace n on n.oid = t.relnamespace
left join pg_catalog.pg_constraint q on q.oid = c.conparentid
left join pg_catalog.pg_index x on x.indexrelid = c.conindid
where c.contype in ('p', 'u', 'f', 'c', 'x')
  and t.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  -- A foreign key that points at a partitioned table has a copy of itself per partition.
  and (q.oid is null or q.conrelid <> c.conrelid)
