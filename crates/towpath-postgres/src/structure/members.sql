-- objects that belong to an extension
select d.classid::regclass::text as catalog,
       d.objid::int8 as oid,
       e.extname as extension
from pg_catalog.pg_depend d
join pg_catalog.pg_extension e on e.oid = d.refobjid
where d.refclassid = 'pg_catalog.pg_extension'::regclass
  and d.deptype = 'e'
  and d.objsubid = 0
