-- what is no longer as the fence left it
with fence as (
    select n.note ->> 'xid' as xid, n.note -> 'tables' as tables
    from (select pg_catalog.obj_description(
                     pg_catalog.to_regprocedure('towpath_fence.refuse()'), 'pg_proc')::jsonb as note) n
),
fenced as (
    select (t.item ->> 'oid')::oid as relation,
           t.item ->> 'name' as name,
           t.item ->> 'strength' as strength,
           (t.item ->> 'triggers')::int4 as triggers,
           (t.item ->> 'filenode')::oid as filenode
    from fence
    cross join lateral pg_catalog.jsonb_array_elements(fence.tables) as t (item)
)
select found.name, found.problem
from (
    select f.name,
           case
               when c.oid is null then 'was dropped'
               when f.strength = 'open' then null
               when t.triggers < f.triggers then 'has lost its trigger'
               when t.off > 0 then 'has its trigger switched off'
               -- A trigger that was switched off and on again is another row.
               when t.changed > 0 then 'had its trigger changed'
               when pg_catalog.pg_relation_filenode(c.oid) is distinct from f.filenode
                   then 'was rewritten or emptied'
           end as problem
    from fenced f
    cross join fence
    left join pg_catalog.pg_class c on c.oid = f.relation
    left join lateral (
        select pg_catalog.count(*) as triggers,
               pg_catalog.count(*) filter (
                   where g.tgenabled <> case f.strength when 'always' then 'A' else 'O' end) as off,
               pg_catalog.count(*) filter (where g.xmin::text <> fence.xid) as changed
        from pg_catalog.pg_trigger g
        where g.tgrelid = f.relation
          and g.tgname in (' towpath_fence', ' towpath_fence_row')
          and g.tgfoid = pg_catalog.to_regprocedure('towpath_fence.refuse()')
    ) t on true
    union all
    select 'towpath_fence.refuse()', 'was replaced or dropped'
    from fence
    where not exists (
        select
        from pg_catalog.pg_proc p
        where p.oid = pg_catalog.to_regprocedure('towpath_fence.refuse()')
          and p.xmin::text = fence.xid)
    union all
    select pg_catalog.concat(n.nspname, '.', c.relname), 'was attached to a fenced table'
    from pg_catalog.pg_inherits i
    join fenced f on f.relation = i.inhparent
    join pg_catalog.pg_class c on c.oid = i.inhrelid and c.relkind in ('r', 'p')
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where not exists (select from fenced o where o.relation = c.oid)
) found
where found.problem is not null
order by found.name
