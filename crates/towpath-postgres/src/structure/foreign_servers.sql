-- foreign servers; values of options that are not known to be harmless are shown as a hash
select s.srvname as name,
       s.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(s.srvowner) as owner,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'wrapper', w.fdwname,
           'type', s.srvtype,
           'version', s.srvversion,
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
              from pg_catalog.pg_options_to_table(s.srvoptions) o))) as aspects
from pg_catalog.pg_foreign_server s
join pg_catalog.pg_foreign_data_wrapper w on w.oid = s.srvfdw
