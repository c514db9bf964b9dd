-- subscriptions of this database: only the columns that everybody may read
select s.subname as name,
       s.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(s.subowner) as owner,
       '{}'::jsonb as aspects
from pg_catalog.pg_subscription s
join pg_catalog.pg_database d on d.oid = s.subdbid
where d.datname = pg_catalog.current_database()
