-- One query a table, that gives its name, its rows and a hash over the multiset of them: each value
-- by what its type prints and, where that names no OID, by what its type sends.
with recursive bases as (
    select t.oid, t.oid as base from pg_catalog.pg_type t where t.typtype <> 'd'
    union all
    select d.oid, b.base
    from pg_catalog.pg_type d join bases b on b.oid = d.typbasetype
    where d.typtype = 'd'
), types as (
    select b.oid,
           -- An OID means something else on another server, and a type of the user's has another.
           t.typsend <> 0
               -- Its own function, or one of anyarray, anyenum, anyrange or anymultirange.
               and p.proargtypes[0] in (t.oid, 2277, 3500, 3831, 4537)
               and t.typsend::pg_catalog.regproc::text !~ '^(pg_catalog\.)?(reg\w+send|record_send)$'
               and (e.oid is null
                    or (e.oid < 10000 and e.typtype <> 'd' and e.typname !~ '^reg' and e.typsend <> 0)
                       and t.typtype = 'b') as sends,
           (select nspname from pg_catalog.pg_namespace where oid = t.typnamespace) as base_schema,
           t.typname as base_name,
           s.nspname as send_schema,
           p.proname as send
    from bases b
    join pg_catalog.pg_type t on t.oid = b.base
    left join pg_catalog.pg_proc p on p.oid = t.typsend
    left join pg_catalog.pg_namespace s on s.oid = p.pronamespace
    left join pg_catalog.pg_type e on e.oid = t.typelem and e.typarray = t.oid
)
select pg_catalog.format(
           $query$ select pg_catalog.json_build_array(%L, pg_catalog.count(*),
                       pg_catalog.md5(coalesce(pg_catalog.string_agg(h, '' order by h collate "C"), '')))
                   from (select pg_catalog.md5(pg_catalog.concat(%s)) as h from only %I.%I as r) rows $query$,
           pg_catalog.format('%I.%I', n.nspname, c.relname),
           coalesce(a.hashes, '''-'''), n.nspname, c.relname)
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join lateral (
    -- A function takes a hundred arguments and a row has up to 1600 values.
    select pg_catalog.string_agg('pg_catalog.concat(' || hashes || ')', ' || ') as hashes
    from (
        select pg_catalog.string_agg(hash, ', ' order by attname collate "C") as hashes
        from (
            select a.attname,
                   pg_catalog.row_number() over (order by a.attname collate "C") / 50 as lot,
                   pg_catalog.format(
                       case when t.sends then
                           'case when pg_catalog.num_nulls(r.%1$I) = 1 then ''null'' else pg_catalog.md5(pg_catalog.format(''%%s'', r.%1$I)) || pg_catalog.md5(%2$I.%3$I(r.%1$I::%4$I.%5$I)) end'
                       else
                           'case when pg_catalog.num_nulls(r.%1$I) = 1 then ''null'' else pg_catalog.md5(pg_catalog.format(''%%s'', r.%1$I)) end'
                       end, a.attname, t.send_schema, t.send, t.base_schema, t.base_name) as hash
            from pg_catalog.pg_attribute a
            left join types t on t.oid = a.atttypid
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        ) every
        group by lot order by lot
    ) lots
) a on true
where c.relkind = 'r' and n.nspname in (:schemas)
order by n.nspname, c.relname
