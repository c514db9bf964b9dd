-- indexes of a table that are the same but for their names
select pg_catalog.jsonb_build_object('schema', n.nspname, 'name', t.relname) as "table",
       pg_catalog.jsonb_agg(c.relname order by
           x.indisprimary desc, x.indisreplident desc, x.indisunique desc,
           exists (
               select
               from pg_catalog.pg_constraint o
               where o.conindid = c.oid) desc,
           c.relname collate "C") as indexes
from pg_catalog.pg_index x
join pg_catalog.pg_class c on c.oid = x.indexrelid
join pg_catalog.pg_class t on t.oid = x.indrelid
join pg_catalog.pg_namespace n on n.oid = t.relnamespace
where x.indisvalid
  and not x.indisexclusion
  -- One that is part of another follows that one.
  and not c.relispartition
  and t.relkind in ('r', 'p', 'm')
  and t.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'towpath')
group by n.nspname, t.relname, x.indrelid, c.relam, x.indnkeyatts, x.indkey::text, x.indclass::text,
         x.indcollation::text, x.indoption::text,
         coalesce(pg_catalog.pg_get_expr(x.indexprs, x.indrelid), ''),
         coalesce(pg_catalog.pg_get_expr(x.indpred, x.indrelid), '')
having pg_catalog.count(*) > 1
order by n.nspname, t.relname, 2
