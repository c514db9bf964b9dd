-- addresses that stand for others
select 'pg_rewrite' as catalog, r.oid::int8 as oid,
       'pg_class' as to_catalog, r.ev_class::int8 as to_oid
from pg_catalog.pg_rewrite r
where r.rulename = '_RETURN' and r.oid >= 16384
union all
select 'pg_attrdef', d.oid::int8, 'pg_class', d.adrelid::int8
from pg_catalog.pg_attrdef d
union all
select 'pg_type', t.oid::int8, 'pg_class', t.typrelid::int8
from pg_catalog.pg_type t
join pg_catalog.pg_class c on c.oid = t.typrelid
where c.relkind <> 'c' and t.oid >= 16384
union all
select 'pg_class', c.oid::int8, 'pg_type', c.reltype::int8
from pg_catalog.pg_class c
where c.relkind = 'c'
union all
select 'pg_type', t.oid::int8, 'pg_type', t.typelem::int8
from pg_catalog.pg_type t
join pg_catalog.pg_type e on e.oid = t.typelem and e.typarray = t.oid
where t.oid >= 16384
union all
select 'pg_type', r.rngmultitypid::int8, 'pg_type', r.rngtypid::int8
from pg_catalog.pg_range r
where r.rngmultitypid >= 16384
union all
select 'pg_constraint', c.oid::int8, 'pg_type', c.contypid::int8
from pg_catalog.pg_constraint c
where c.contypid <> 0 and c.oid >= 16384
union all
select 'pg_class', c.conindid::int8, 'pg_constraint', c.oid::int8
from pg_catalog.pg_constraint c
where c.contype in ('p', 'u', 'x') and c.conindid <> 0
union all
-- Members last: the reader of this list keeps the last alias of an address.
select (select c.relname from pg_catalog.pg_class c where c.oid = d.classid), d.objid::int8,
       'pg_extension', d.refobjid::int8
from pg_catalog.pg_depend d
where d.deptype = 'e' and d.refclassid = 'pg_catalog.pg_extension'::regclass
