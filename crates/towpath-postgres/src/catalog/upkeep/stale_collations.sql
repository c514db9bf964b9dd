-- collations in use that were made with another version of their library
select d.datname as name,
       d.datcollversion as recorded,
       pg_catalog.pg_database_collation_actual_version(d.oid) as actual
from pg_catalog.pg_database d
where d.datname = pg_catalog.current_database()
  and d.datcollversion <> pg_catalog.pg_database_collation_actual_version(d.oid)
union all
select n.nspname || '.' || c.collname,
       c.collversion,
       pg_catalog.pg_collation_actual_version(c.oid)
from pg_catalog.pg_collation c
join pg_catalog.pg_namespace n on n.oid = c.collnamespace
where c.collversion is not null
  and exists (
      select
      from pg_catalog.pg_attribute a
      where a.attcollation = c.oid
        and a.attrelid >= 16384)
  and c.collversion <> pg_catalog.pg_collation_actual_version(c.oid)
order by 1
