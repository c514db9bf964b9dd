-- tables: ordinary ones, partitioned ones and partitions
select n.nspname as schema,
       c.relname as name,
       c.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(c.relowner) as owner,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'persistence', case c.relpersistence when 'p' then 'permanent'
                                                when 'u' then 'unlogged' end,
           'partition_key', case when c.relkind = 'p'
               then pg_catalog.pg_get_partkeydef(c.oid) end,
           'partition_of', case when c.relispartition then (
               select i.inhparent::regclass::text
               from pg_catalog.pg_inherits i
               where i.inhrelid = c.oid) end,
           'partition_bound', pg_catalog.pg_get_expr(c.relpartbound, c.oid),
           'inherits', case when not c.relispartition then (
               select pg_catalog.jsonb_agg(i.inhparent::regclass::text order by i.inhseqno)
               from pg_catalog.pg_inherits i
               where i.inhrelid = c.oid) end,
           'of_type', case when c.reloftype <> 0
               then pg_catalog.format_type(c.reloftype, null) end,
           'options', (
               select pg_catalog.jsonb_agg(o.option order by o.option collate "C")
               from (
                   select u.option
                   from pg_catalog.unnest(c.reloptions) as u (option)
                   union all
                   select 'toast.' || u.option
                   from pg_catalog.pg_class t
                   cross join lateral pg_catalog.unnest(t.reloptions) as u (option)
                   where t.oid = c.reltoastrelid
                     -- A column that was dropped may have left a table for long values that the
                     -- others do not need, and that nobody makes again (needs_toast_table() in
                     -- catalog/toasting.c). Options of that say nothing.
                     and exists (
                         select 1
                         from pg_catalog.pg_attribute a
                         where a.attrelid = c.oid
                           and a.attnum > 0
                           and not a.attisdropped
                           and a.attlen = -1
                         having pg_catalog.bool_or(a.attstorage <> 'p')
                            and (pg_catalog.bool_or(a.atttypmod < 0 or a.atttypid not in (
                                    'pg_catalog.varchar'::regtype, 'pg_catalog.bpchar'::regtype,
                                    'pg_catalog.bit'::regtype, 'pg_catalog.varbit'::regtype,
                                    'pg_catalog.numeric'::regtype))
                                 or pg_catalog.sum(a.atttypmod - 4) filter (where a.atttypid in (
                                    'pg_catalog.varchar'::regtype, 'pg_catalog.bpchar'::regtype)) > 600))
               ) o),
           'replica_identity', case c.relreplident
               when 'd' then 'default'
               when 'n' then 'nothing'
               when 'f' then 'full'
               when 'i' then 'index ' || coalesce(
                   (select k.relname
                    from pg_catalog.pg_index x
                    join pg_catalog.pg_class k on k.oid = x.indexrelid
                    where x.indrelid = c.oid
                      and x.indisreplident), '') end,
           'row_security', c.relrowsecurity,
           'force_row_security', c.relforcerowsecurity,
           'access_method', m.amname)) as aspects
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_am m on m.oid = c.relam
where c.relkind in ('r', 'p')
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
