-- default privileges: of whom, where, for what; who gets them is among the grants
select n.nspname as schema,
       pg_catalog.pg_get_userbyid(d.defaclrole) as name,
       case d.defaclobjtype when 'r' then 'tables'
                            when 'S' then 'sequences'
                            when 'f' then 'functions'
                            when 'T' then 'types'
                            when 'n' then 'schemas'
                            when 'L' then 'large objects'
                            else d.defaclobjtype::text end as args,
       d.oid::int8 as oid,
       '{}'::jsonb as aspects
from pg_catalog.pg_default_acl d
left join pg_catalog.pg_namespace n on n.oid = d.defaclnamespace
