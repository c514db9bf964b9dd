-- schemas
select n.nspname as name
from pg_catalog.pg_namespace n
where n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
order by n.nspname collate "C"
