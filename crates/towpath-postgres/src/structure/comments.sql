-- comments on whole objects, those on columns come with the columns
select d.classoid::regclass::text as catalog,
       d.objoid::int8 as oid,
       d.description as comment
from pg_catalog.pg_description d
where d.objsubid = 0
  -- What initdb described is the system's, but for schema public and the procedural languages.
  and (d.objoid >= 10000
       or d.classoid = 'pg_catalog.pg_namespace'::regclass
       -- Users choose the OIDs of these.
       or d.classoid = 'pg_catalog.pg_largeobject'::regclass)
union all
select s.classoid::regclass::text,
       s.objoid::int8,
       s.description
from pg_catalog.pg_shdescription s
where s.classoid = 'pg_catalog.pg_authid'::regclass
