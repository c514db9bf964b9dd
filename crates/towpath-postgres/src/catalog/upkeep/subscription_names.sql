-- subscriptions of this database, where the login may not see where they read
select s.subname as name, null::text as connection
from pg_catalog.pg_subscription s
join pg_catalog.pg_database d on d.oid = s.subdbid
where d.datname = pg_catalog.current_database()
order by 1
