-- tables to fence: the planned ones, and every other table of their trees
with recursive planned as (
    select c.oid
    from pg_catalog.jsonb_array_elements($1::jsonb) as p (item)
    join pg_catalog.pg_namespace n on n.nspname = p.item ->> 0
    join pg_catalog.pg_class c
        on c.relnamespace = n.oid and c.relname = p.item ->> 1 and c.relkind in ('r', 'p')
),
above as (
    select oid from planned
    union
    select i.inhparent
    from above
    join pg_catalog.pg_inherits i on i.inhrelid = above.oid
),
tree as (
    select oid from above
    union
    select i.inhrelid
    from tree
    join pg_catalog.pg_inherits i on i.inhparent = tree.oid
)
select n.nspname as schema,
       c.relname as name,
       c.oid::int8 as oid,
       c.oid in (select oid from planned) as planned,
       c.relkind = 'p' as partitioned,
       pg_catalog.pg_get_userbyid(c.relowner) as owner,
       pg_catalog.pg_has_role(c.relowner, 'usage') as owned,
       pg_catalog.has_schema_privilege(n.oid, 'usage')
           and pg_catalog.has_table_privilege(c.oid, 'trigger') as may_trigger,
       pg_catalog.has_schema_privilege(n.oid, 'usage')
           and pg_catalog.has_table_privilege(c.oid, 'update, delete, truncate') as may_lock,
       exists (select
               from pg_catalog.pg_subscription_rel s
               where s.srrelid = c.oid) as subscribed
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.oid in (select oid from tree)
  and c.relkind in ('r', 'p')
-- Parents first, as whoever writes through them locks them.
order by (c.relkind = 'p' or exists (select from pg_catalog.pg_inherits i where i.inhparent = c.oid)) desc,
         c.oid
