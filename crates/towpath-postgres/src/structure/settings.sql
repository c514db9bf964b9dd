-- settings of the database and of roles in it; values that may be secret are shown as a hash
select s.name as name,
       r.rolname as args,
       d.oid::int8 as oid,
       pg_catalog.jsonb_build_object(
           'value',
           case when pg_catalog.lower(s.name) in
                    ('search_path', 'timezone', 'statement_timeout', 'lock_timeout',
                     'default_text_search_config', 'datestyle', 'intervalstyle')
                then s.value
                else 'sha256:' || pg_catalog.left(pg_catalog.encode(
                    pg_catalog.sha256(pg_catalog.convert_to(s.value, 'UTF8')), 'hex'), 16)
           end) as aspects
from pg_catalog.pg_db_role_setting c
join pg_catalog.pg_database d on d.oid = c.setdatabase
left join pg_catalog.pg_roles r on r.oid = c.setrole
cross join lateral pg_catalog.unnest(c.setconfig) as u (entry)
cross join lateral (
    select pg_catalog.split_part(u.entry, '=', 1) as name,
           pg_catalog.substr(u.entry, pg_catalog.strpos(u.entry, '=') + 1) as value
) s
where d.datname = pg_catalog.current_database()
