-- tables with rows, and whether the planner knows anything about them
with known as materialized (
    select s.schemaname, s.tablename
    from pg_catalog.pg_stats s
    group by s.schemaname, s.tablename
)
select n.nspname as schema,
       c.relname as name,
       c.reltuples >= 0
           and (k.tablename is not null
                -- It was analysed when it held nothing but dead rows.
                or c.reltuples = 0 and c.relpages <> 0
                -- Statistics of such tables are shown to nobody who is not let through.
                or pg_catalog.row_security_active(c.oid)
                or not pg_catalog.has_table_privilege(c.oid, 'select')) as has_statistics
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join known k on k.schemaname = n.nspname and k.tablename = c.relname
where c.relkind in ('r', 'p', 'm')
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'towpath')
  and pg_catalog.pg_get_userbyid(c.relowner) <> 'rdsadmin'
  -- Nothing is gathered of a column that somebody switched off, nor of one that is not stored.
  and exists (
      select
      from pg_catalog.pg_attribute a
      where a.attrelid = c.oid
        and a.attnum > 0
        and not a.attisdropped
        and coalesce(a.attstattarget, -1) <> 0
        and a.attgenerated <> 'v')
  and (case when c.relkind = 'p'
            then exists (
                select
                from pg_catalog.pg_partition_tree(c.oid) p
                join pg_catalog.pg_class l on l.oid = p.relid
                where l.relkind = 'r'
                  and pg_catalog.pg_relation_size(l.oid) > 0)
                -- A foreign partition keeps its parent from being analysed at the load.
                and not exists (
                    select
                    from pg_catalog.pg_partition_tree(c.oid) p
                    join pg_catalog.pg_class l on l.oid = p.relid
                    where l.relkind = 'f')
            else pg_catalog.pg_relation_size(c.oid) > 0 end)
order by 1, 2
