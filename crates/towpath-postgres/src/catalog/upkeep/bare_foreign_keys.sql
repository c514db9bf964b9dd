-- foreign keys whose columns no index has first
select n.nspname as schema,
       t.relname as "table",
       k.conname as name,
       (select pg_catalog.jsonb_agg(a.attname order by u.position)
        from pg_catalog.unnest(k.conkey) with ordinality as u (number, position)
        join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum = u.number) as columns,
       pg_catalog.pg_relation_size(t.oid) as bytes
from pg_catalog.pg_constraint k
join pg_catalog.pg_class t on t.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = t.relnamespace
where k.contype = 'f'
  and k.conparentid = 0
  and t.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and not exists (
      select
      from pg_catalog.pg_index x
      where x.indrelid = k.conrelid
        and x.indisvalid
        and x.indnkeyatts >= pg_catalog.cardinality(k.conkey)
        -- In any order: an index on (b, a) finds a row by a and b just as well.
        and (select pg_catalog.array_agg(e.number order by e.number)
             from pg_catalog.unnest(
                 (x.indkey::int2[])[0:pg_catalog.cardinality(k.conkey) - 1]) as e (number))
            = (select pg_catalog.array_agg(e.number order by e.number)
               from pg_catalog.unnest(k.conkey) as e (number))
        -- No row that is left out of `where column is not null` refers to anything.
        and (x.indpred is null
             or pg_catalog.pg_get_expr(x.indpred, x.indrelid) in (
                 select '(' || pg_catalog.quote_ident(a.attname) || ' IS NOT NULL)'
                 from pg_catalog.pg_attribute a
                 where a.attrelid = k.conrelid
                   and a.attnum = any (k.conkey))))
order by 5 desc, 1, 2, 3
