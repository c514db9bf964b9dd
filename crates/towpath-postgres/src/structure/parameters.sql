-- configuration parameters that somebody was given rights on
select p.parname as name,
       p.oid::int8 as oid,
       (select pg_catalog.json_agg(pg_catalog.json_build_object(
                   'grantee', g.grantee, 'privilege', g.privilege, 'grantable', g.grantable))
        from (
            select case e.grantee when 0 then 'public'
                       else pg_catalog.pg_get_userbyid(e.grantee) end as grantee,
                   e.privilege_type as privilege,
                   pg_catalog.bool_or(e.is_grantable) as grantable
            from pg_catalog.aclexplode(p.paracl) e
            -- The owner of every parameter is the bootstrap superuser.
            where e.grantee <> 10
            group by 1, 2
        ) g) as grants,
       '{}'::jsonb as aspects
from pg_catalog.pg_parameter_acl p
where exists (select from pg_catalog.aclexplode(p.paracl) e where e.grantee <> 10)
