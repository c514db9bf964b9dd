-- relations that hold rows
select n.nspname as schema,
       c.relname as name,
       c.oid::int8 as oid,
       case c.relkind
           when 'r' then 'table'
           when 'm' then 'materialized-view'
           when 'f' then 'foreign-table'
       end as kind,
       pg_catalog.pg_get_userbyid(c.relowner) as owner,
       (select e.extname
        from pg_catalog.pg_depend d
        join pg_catalog.pg_extension e on e.oid = d.refobjid
        where d.classid = 'pg_catalog.pg_class'::regclass
          and d.objid = c.oid
          and d.objsubid = 0
          and d.refclassid = 'pg_catalog.pg_extension'::regclass
          and d.deptype = 'e') as extension,
       pg_catalog.has_schema_privilege(n.oid, 'usage')
           and (pg_catalog.has_table_privilege(c.oid, 'select')
                or coalesce(a.every_column_readable, false)) as readable,
       c.relrowsecurity as row_security,
       c.relforcerowsecurity as force_row_security,
       c.relpersistence = 'u' as unlogged,
       exists (select 1
               from pg_catalog.pg_inherits i
               where i.inhrelid = c.oid) as is_child,
       case when c.relkind = 'f' then 0
            else coalesce(pg_catalog.pg_relation_size(c.oid), 0)
                 / pg_catalog.current_setting('block_size')::int8
       end as pages,
       case when c.relkind = 'f' then 0
            else coalesce(pg_catalog.pg_table_size(c.oid), 0)
       end as bytes,
       case when c.relkind = 'f' then 0
            else coalesce(pg_catalog.pg_indexes_size(c.oid), 0)
       end as index_bytes,
       c.reltuples::int8 as estimated_rows,
       coalesce(a.columns, '[]') as columns
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_index p on p.indrelid = c.oid and p.indisprimary
left join lateral (
    select pg_catalog.json_agg(
               pg_catalog.json_build_object(
                   'name', a.attname,
                   'type_name', pg_catalog.format_type(a.atttypid, a.atttypmod),
                   'type_oid', a.atttypid::int8,
                   'generated', a.attgenerated <> '',
                   'key_position', (
                       select k.position
                       from pg_catalog.unnest(p.indkey::int2[])
                           with ordinality as k (attnum, position)
                       where k.attnum = a.attnum
                         and k.position <= p.indnkeyatts))
               order by a.attnum) as columns,
           pg_catalog.bool_and(pg_catalog.has_column_privilege(c.oid, a.attnum, 'select'))
               as every_column_readable
    from pg_catalog.pg_attribute a
    where a.attrelid = c.oid
      and a.attnum > 0
      and not a.attisdropped
) a on true
where c.relkind in ('r', 'm', 'f')
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
order by n.nspname collate "C", c.relname collate "C"
