-- roles of the cluster
select r.rolname as name,
       r.oid::int8 as oid,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'login', r.rolcanlogin,
           'inherit', r.rolinherit,
           'superuser', r.rolsuper,
           'createdb', r.rolcreatedb,
           'createrole', r.rolcreaterole,
           'replication', r.rolreplication,
           'bypassrls', r.rolbypassrls,
           'connection_limit', r.rolconnlimit,
           'valid_until', r.rolvaliduntil::text,
           'memberships', coalesce(
               (select pg_catalog.jsonb_agg(
                           pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
                               'role', m.role,
                               'admin', m.admin,
                               'inherit', m.inherit,
                               'set', m.set))
                           order by m.role collate "C")
                from (
                    -- Since 16 a membership may be granted by several, with options each.
                    select g.rolname as role,
                           pg_catalog.bool_or(a.admin_option) as admin,
                           pg_catalog.bool_or(
                               (pg_catalog.to_jsonb(a.*) ->> 'inherit_option')::bool) as inherit,
                           pg_catalog.bool_or(
                               (pg_catalog.to_jsonb(a.*) ->> 'set_option')::bool) as set
                    from pg_catalog.pg_auth_members a
                    join pg_catalog.pg_roles g on g.oid = a.roleid
                    where a.member = r.oid
                    group by g.rolname
                ) m), '[]'),
           'settings', (
               select pg_catalog.jsonb_object_agg(
                          s.name,
                          case when pg_catalog.lower(s.name) in
                                   ('search_path', 'timezone', 'statement_timeout',
                                    'lock_timeout', 'default_text_search_config', 'datestyle',
                                    'intervalstyle')
                               then s.value
                               else 'sha256:' || pg_catalog.left(pg_catalog.encode(
                                   pg_catalog.sha256(pg_catalog.convert_to(s.value, 'UTF8')),
                                   'hex'), 16)
                          end)
               from pg_catalog.pg_db_role_setting d
               cross join lateral pg_catalog.unnest(d.setconfig) as u (entry)
               cross join lateral (
                   select pg_catalog.split_part(u.entry, '=', 1) as name,
                          pg_catalog.substr(u.entry, pg_catalog.strpos(u.entry, '=') + 1) as value
               ) s
               where d.setrole = r.oid
                 and d.setdatabase = 0))) as aspects
from pg_catalog.pg_roles r
where r.rolname !~ '^pg_'
