-- subscriptions of this database and where they read
select s.subname as name,
       pg_catalog.regexp_replace(
           s.subconninfo, 'password\s*=\s*(''([^''\\]|\\.)*''|\S+)', '', 'gi') as connection
from pg_catalog.pg_subscription s
join pg_catalog.pg_database d on d.oid = s.subdbid
where d.datname = pg_catalog.current_database()
order by 1
