-- types a column can have, as far as their binary form is concerned
select t.oid::int8 as oid,
       t.typname as name,
       case when e.oid is not null then 'array'
            when t.typtype = 'b' then 'base'
            when t.typtype = 'd' then 'domain'
            when t.typtype = 'e' then 'enum'
            when t.typtype in ('r', 'm') then 'range'
            else 'other'
       end as form,
       -- Numbers below 10000 are assigned by hand and the same on every server of a major version.
       n.nspname = 'pg_catalog' and t.oid < 10000 as built_in,
       t.typsend <> 0 and t.typreceive <> 0 as has_binary_form,
       coalesce(e.oid, nullif(t.typbasetype, 0), r.rngsubtype)::int8 as inner_oid
from pg_catalog.pg_type t
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
left join pg_catalog.pg_type e on e.oid = t.typelem and e.typarray = t.oid
left join (
    select s.rngtypid as typid, s.rngsubtype from pg_catalog.pg_range s
    union all
    select m.rngmultitypid, m.rngsubtype from pg_catalog.pg_range m
) r on r.typid = t.oid
where t.typtype in ('b', 'd', 'e', 'r', 'm')
  and coalesce(e.typtype, 'b') <> 'c'
