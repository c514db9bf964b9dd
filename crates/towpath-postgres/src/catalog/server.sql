-- facts about server, database and login
select pg_catalog.current_setting('server_version_num')::int8 as version_num,
       pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'execute')
           as may_identify,
       d.datname as database,
       r.rolname as "user",
       r.rolsuper as is_superuser,
       r.rolbypassrls or r.rolsuper as bypasses_rls,
       r.rolcreaterole or r.rolsuper as can_create_roles,
       pg_catalog.pg_encoding_to_char(d.encoding) as encoding,
       -- The column of an ICU locale was renamed in 17, the provider is new in 15.
       case pg_catalog.to_jsonb(d.*) ->> 'datlocprovider'
           when 'i' then
               coalesce(pg_catalog.to_jsonb(d.*) ->> 'datlocale',
                        pg_catalog.to_jsonb(d.*) ->> 'daticulocale') || ' (icu)'
           when 'b' then (pg_catalog.to_jsonb(d.*) ->> 'datlocale') || ' (builtin)'
           else d.datcollate::text
       end as collation,
       (select s.reset_val
        from pg_catalog.pg_settings s
        where s.name = 'search_path') as search_path,
       coalesce((select s.ssl
                 from pg_catalog.pg_stat_ssl s
                 where s.pid = pg_catalog.pg_backend_pid()), false) as uses_tls,
       coalesce((select pg_catalog.jsonb_object_agg(e.name, e.default_version)
                 from pg_catalog.pg_available_extensions e
                 where e.default_version is not null), '{}') as available_extensions,
       pg_catalog.pg_database_size(d.oid) as database_bytes,
       pg_catalog.current_setting('rds.allowed_extensions', true) as allowed_extensions,
       pg_catalog.current_setting('rds.extensions', true) as listed_extensions,
       -- Hidden from logins that may not read it, where current_setting() would refuse.
       (select s.setting
        from pg_catalog.pg_settings s
        where s.name = 'shared_preload_libraries') as preloaded,
       (select s.setting
        from pg_catalog.pg_settings s
        where s.name = 'cron.database_name') as cron_database,
       pg_catalog.pg_has_role(d.datdba, 'USAGE') as owns_database,
       -- What every login may see of a session: its database and its role. Parallel workers are
       -- among them for some logins, which makes the answer a little too small.
       (select greatest(0, least(
                   pg_catalog.current_setting('max_connections')::int8
                       - pg_catalog.current_setting('superuser_reserved_connections')::int8
                       - coalesce(pg_catalog.current_setting('reserved_connections', true)::int8, 0)
                       - pg_catalog.count(*),
                   case when r.rolconnlimit >= 0
                        then r.rolconnlimit
                             - pg_catalog.count(*) filter (where s.usesysid = r.oid) end,
                   case when d.datconnlimit >= 0
                        then d.datconnlimit
                             - pg_catalog.count(*) filter (where s.datid = d.oid) end))
        from pg_catalog.pg_stat_activity s
        where s.datid is not null
          and s.usesysid is not null) as free_connections,
       pg_catalog.current_setting('max_worker_processes')::int8 as worker_processes
from pg_catalog.pg_database d
join pg_catalog.pg_roles r on r.rolname = current_user
where d.datname = pg_catalog.current_database()
