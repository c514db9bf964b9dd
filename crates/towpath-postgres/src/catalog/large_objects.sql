-- large objects: number, size, what may not be read, and where to cut them into groups
with objects as (
    select m.oid,
           -- As the server itself decides (PostgreSQL manual, "lo_compat_privileges", and the
           -- privileges of large objects in "Privileges").
           pg_catalog.pg_has_role(m.lomowner, 'usage')
               or pg_catalog.current_setting('lo_compat_privileges')::bool
               or exists (select 1
                          from pg_catalog.aclexplode(m.lomacl) a
                          where a.privilege_type = 'SELECT'
                            and (a.grantee = 0
                                 or pg_catalog.pg_has_role(a.grantee, 'usage'))) as readable,
           -- A group's first OID is all that a slice needs.
           pg_catalog.ntile(1024) over (order by m.oid) as bucket
    from pg_catalog.pg_largeobject_metadata m
)
select pg_catalog.count(*) as count,
       coalesce(pg_catalog.pg_table_size('pg_catalog.pg_largeobject'::regclass), 0) as bytes,
       pg_catalog.count(*) filter (where not o.readable) as unreadable,
       coalesce((select pg_catalog.json_agg(u.oid::int8 order by u.oid)
                 from (select oid
                       from objects
                       where not readable
                       order by oid
                       limit 6) u), '[]') as unreadable_oids,
       coalesce((select pg_catalog.json_agg(b.first::int8 order by b.first)
                 from (select pg_catalog.min(oid) as first
                       from objects
                       group by bucket) b), '[]') as bounds
from objects o
