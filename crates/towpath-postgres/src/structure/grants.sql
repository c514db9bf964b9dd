-- privileges of others than the owner, defaults made explicit
with lists as (
    select 'pg_class' as catalog,
           c.oid,
           c.relowner as owner,
           null::name as column_name,
           coalesce(c.relacl,
                    pg_catalog.acldefault(
                        case when c.relkind = 'S' then 's'::"char" else 'r'::"char" end,
                        c.relowner)) as acl
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
      and n.nspname !~ '^pg_'
      and n.nspname <> 'information_schema'
    union all
    select 'pg_class', c.oid, c.relowner, a.attname, a.attacl
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_class c on c.oid = a.attrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where a.attacl is not null
      and not a.attisdropped
      and n.nspname !~ '^pg_'
      and n.nspname <> 'information_schema'
    union all
    select 'pg_proc', p.oid, p.proowner, null,
           coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
    from pg_catalog.pg_proc p
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where n.nspname !~ '^pg_'
      and n.nspname <> 'information_schema'
    union all
    select 'pg_type', t.oid, t.typowner, null,
           coalesce(t.typacl, pg_catalog.acldefault('T', t.typowner))
    from pg_catalog.pg_type t
    join pg_catalog.pg_namespace n on n.oid = t.typnamespace
    where t.typtype in ('b', 'c', 'd', 'e', 'p', 'r')
      and n.nspname !~ '^pg_'
      and n.nspname <> 'information_schema'
      -- Row types and arrays have no life, and no privileges, of their own.
      and not exists (select 1
                      from pg_catalog.pg_type e
                      where e.oid = t.typelem
                        and e.typarray = t.oid)
      and not exists (select 1
                      from pg_catalog.pg_class c
                      where c.oid = t.typrelid
                        and c.relkind <> 'c')
    union all
    select 'pg_namespace', n.oid, n.nspowner, null,
           coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))
    from pg_catalog.pg_namespace n
    where n.nspname !~ '^pg_'
      and n.nspname <> 'information_schema'
    union all
    select 'pg_language', l.oid, l.lanowner, null,
           coalesce(l.lanacl, pg_catalog.acldefault('l', l.lanowner))
    from pg_catalog.pg_language l
    where l.lanispl
    union all
    select 'pg_foreign_data_wrapper', w.oid, w.fdwowner, null,
           coalesce(w.fdwacl, pg_catalog.acldefault('F', w.fdwowner))
    from pg_catalog.pg_foreign_data_wrapper w
    union all
    select 'pg_foreign_server', s.oid, s.srvowner, null,
           coalesce(s.srvacl, pg_catalog.acldefault('S', s.srvowner))
    from pg_catalog.pg_foreign_server s
    union all
    select 'pg_largeobject', m.oid, m.lomowner, null, m.lomacl
    from pg_catalog.pg_largeobject_metadata m
    where m.lomacl is not null
    union all
    select 'pg_default_acl', d.oid, d.defaclrole, null, d.defaclacl
    from pg_catalog.pg_default_acl d
), granted as (
    select l.catalog,
           l.oid,
           l.column_name,
           e.grantee,
           e.privilege_type,
           -- Several grantors may have given the same privilege.
           pg_catalog.bool_or(e.is_grantable) as is_grantable
    from lists l
    cross join lateral pg_catalog.aclexplode(l.acl) e
    where e.grantee <> l.owner
    group by l.catalog, l.oid, l.column_name, e.grantee, e.privilege_type
)
select g.catalog,
       g.oid::int8 as oid,
       pg_catalog.json_agg(pg_catalog.json_build_object(
           'grantee', case g.grantee
                          when 0 then 'public'
                          else pg_catalog.pg_get_userbyid(g.grantee)
                      end,
           'privilege', g.privilege_type,
           'column', g.column_name,
           'grantable', g.is_grantable)) as grants
from granted g
group by g.catalog, g.oid
