-- the database itself, under a name that is the same on every server: its own differs
select 'current' as name,
       d.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(d.datdba) as owner,
       -- What initdb says of the database it makes is nobody's word.
       nullif(pg_catalog.shobj_description(d.oid, 'pg_database'),
              'default administrative connection database') as comment,
       coalesce(
           (select pg_catalog.json_agg(pg_catalog.json_build_object(
                       'grantee', g.grantee, 'privilege', g.privilege, 'grantable', g.grantable))
            from (
                select case e.grantee when 0 then 'public'
                           else pg_catalog.pg_get_userbyid(e.grantee) end as grantee,
                       e.privilege_type as privilege,
                       pg_catalog.bool_or(e.is_grantable) as grantable
                from pg_catalog.aclexplode(
                    coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) e
                where e.grantee <> d.datdba
                group by 1, 2
            ) g), '[]') as grants,
       '{}'::jsonb as aspects
from pg_catalog.pg_database d
where d.datname = pg_catalog.current_database()
