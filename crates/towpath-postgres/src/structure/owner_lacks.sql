-- privileges that owners have taken from themselves
with lists as (
    select 'pg_class' as catalog,
           c.oid,
           c.relowner as owner,
           case when c.relkind = 'S' then 's'::"char" else 'r'::"char" end as kind,
           c.relacl as acl
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
      and n.nspname !~ '^pg_'
      and n.nspname <> 'information_schema'
    union all
    select 'pg_proc', p.oid, p.proowner, 'f', p.proacl
    from pg_catalog.pg_proc p
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where n.nspname !~ '^pg_'
      and n.nspname <> 'information_schema'
    union all
    select 'pg_namespace', n.oid, n.nspowner, 'n', n.nspacl
    from pg_catalog.pg_namespace n
    where n.nspname !~ '^pg_'
      and n.nspname <> 'information_schema'
)
select l.catalog,
       l.oid::int8 as oid,
       pg_catalog.jsonb_agg(d.privilege_type order by d.privilege_type collate "C") as lacks
from lists l
cross join lateral pg_catalog.aclexplode(pg_catalog.acldefault(l.kind, l.owner)) d
where l.acl is not null
  and d.grantee = l.owner
  -- Came with 17: lists that were written before, and upgraded, do not have it.
  and d.privilege_type <> 'MAINTAIN'
  and not exists (select 1
                  from pg_catalog.aclexplode(l.acl) e
                  where e.grantee = l.owner
                    and e.privilege_type = d.privilege_type)
group by l.catalog, l.oid
