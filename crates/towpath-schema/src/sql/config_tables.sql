-- tables of extensions with the rows of theirs that a dump must hold; the condition is the word of
-- the extension's author, empty or a where clause
select c.oid::int8 as oid,
       pg_catalog.format('%I.%I', n.nspname, c.relname) as name,
       coalesce(e.extcondition[u.position], '') as condition,
       pg_catalog.has_table_privilege(c.oid, 'SELECT')
           and pg_catalog.has_schema_privilege(n.oid, 'USAGE')
           and not pg_catalog.row_security_active(c.oid) as is_readable
from pg_catalog.pg_extension e
cross join lateral pg_catalog.unnest(e.extconfig) with ordinality as u (oid, position)
join pg_catalog.pg_class c on c.oid = u.oid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p')
order by 2
