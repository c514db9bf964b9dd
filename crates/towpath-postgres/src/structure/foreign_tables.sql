-- foreign tables; values of options that are not known to be harmless are shown as a hash
select n.nspname as schema,
       c.relname as name,
       c.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(c.relowner) as owner,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'server', s.srvname,
           'options', (
              select pg_catalog.jsonb_object_agg(
                  o.option_name,
                  case when o.option_name in
                           ('schema', 'schema_name', 'object', 'table', 'table_name', 'host',
                            'port', 'dbname', 'fetch_size', 'batch_size', 'updatable',
                            'truncatable', 'use_remote_estimate', 'async_capable', 'extensions',
                            'sslmode', 'filename', 'format', 'header', 'delimiter')
                       then o.option_value
                       else 'sha256:' || pg_catalog.left(pg_catalog.encode(
                           pg_catalog.sha256(pg_catalog.convert_to(o.option_value, 'UTF8')),
                           'hex'), 16)
                  end)
              from pg_catalog.pg_options_to_table(f.ftoptions) o),
           'partition_of', case when c.relispartition then (
               select i.inhparent::regclass::text
               from pg_catalog.pg_inherits i
               where i.inhrelid = c.oid) end,
           'partition_bound', pg_catalog.pg_get_expr(c.relpartbound, c.oid),
           'inherits', case when not c.relispartition then (
               select pg_catalog.jsonb_agg(i.inhparent::regclass::text order by i.inhseqno)
               from pg_catalog.pg_inherits i
               where i.inhrelid = c.oid) end)) as aspects
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_foreign_table f on f.ftrelid = c.oid
join pg_catalog.pg_foreign_server s on s.oid = f.ftserver
where c.relkind = 'f'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
