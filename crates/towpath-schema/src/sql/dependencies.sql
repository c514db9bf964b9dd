-- what depends on what; dependencies on schemas are left out, a schema holds but is not needed
select (select c.relname from pg_catalog.pg_class c where c.oid = d.classid) as catalog,
       d.objid::int8 as oid,
       (select c.relname from pg_catalog.pg_class c where c.oid = d.refclassid) as to_catalog,
       d.refobjid::int8 as to_oid
from pg_catalog.pg_depend d
where d.deptype <> 'e'
  and d.objid >= 16384
  and d.refobjid >= 16384
  and d.refclassid <> 'pg_catalog.pg_namespace'::regclass
