-- columns of tables and views
select a.attrelid::int8 as oid,
       pg_catalog.jsonb_agg(
           pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
               'name', a.attname,
               'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
               'not_null', a.attnotnull,
               -- A constraint of its own since 18, which may be said to hold for new rows or for
               -- this table only. Its name says nothing: that of an older server's is made up.
               'not_null_validated', case when not k.convalidated then false end,
               'not_null_inherited', case when k.connoinherit then false end,
               'not_null_comment', pg_catalog.obj_description(k.oid, 'pg_constraint'),
               'default', case when a.attgenerated = ''
                               then pg_catalog.pg_get_expr(d.adbin, d.adrelid) end,
               'generated', case when a.attgenerated <> ''
                                 then pg_catalog.pg_get_expr(d.adbin, d.adrelid) end,
               -- Virtual generated columns came with 18.
               'generated_kind', case a.attgenerated when 's' then 'stored'
                                                     when 'v' then 'virtual' end,
               -- Since 17 partitions have the identity columns of their root, and none of their own.
               'identity', case when c.relispartition and v.num >= 170000 then null
                                when a.attidentity = 'a' then 'always'
                                when a.attidentity = 'd' then 'by default' end,
               'collation', case when a.attcollation <> t.typcollation
                                 then a.attcollation::regcollation::text end,
               'storage', case when a.attstorage <> t.typstorage then
                              case a.attstorage when 'p' then 'plain'
                                                when 'e' then 'external'
                                                when 'm' then 'main'
                                                when 'x' then 'extended' end
                          end,
               'compression', case a.attcompression when 'p' then 'pglz'
                                                    when 'l' then 'lz4' end,
               -- No target of its own is -1 up to 16 and NULL since.
               'statistics', nullif(a.attstattarget, -1),
               'options', (select pg_catalog.jsonb_agg(o.option order by o.option collate "C")
                           from pg_catalog.unnest(a.attoptions) as o (option)),
               'foreign_options',
                   (select pg_catalog.jsonb_object_agg(
                               f.option_name,
                               case when f.option_name in
                                        ('column_name', 'type', 'key', 'rowid_column')
                                    then f.option_value
                                    else 'sha256:' || pg_catalog.left(pg_catalog.encode(
                                        pg_catalog.sha256(pg_catalog.convert_to(
                                            f.option_value, 'UTF8')), 'hex'), 16)
                               end)
                    from pg_catalog.pg_options_to_table(a.attfdwoptions) f),
               'inherited', case when a.attinhcount > 0 then true end,
               'local', case when a.attinhcount > 0 then a.attislocal end,
               'comment', pg_catalog.col_description(a.attrelid, a.attnum)))
           order by a.attnum) as columns
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_type t on t.oid = a.atttypid
cross join (
    select pg_catalog.current_setting('server_version_num')::int4 as num
) v
left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
left join pg_catalog.pg_constraint k
    on k.conrelid = a.attrelid and k.contype = 'n' and k.conkey[1] = a.attnum
where c.relkind in ('r', 'p', 'f', 'v', 'm')
  and c.relpersistence <> 't'
  and a.attnum > 0
  and not a.attisdropped
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
group by a.attrelid
