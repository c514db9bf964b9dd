-- foreign-data wrappers; values of options that are not known to be harmless are shown as a hash
select w.fdwname as name,
       w.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(w.fdwowner) as owner,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'handler', case when w.fdwhandler <> 0
               then w.fdwhandler::regprocedure::text end,
           'validator', case when w.fdwvalidator <> 0
               then w.fdwvalidator::regprocedure::text end,
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
              from pg_catalog.pg_options_to_table(w.fdwoptions) o))) as aspects
from pg_catalog.pg_foreign_data_wrapper w
