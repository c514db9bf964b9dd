-- who else is connected to this database; what a login may not see of others is NULL
select coalesce(a.application_name, '') as application,
       coalesce(a.usename, '') as role,
       a.state,
       pg_catalog.count(*) as count,
       coalesce(pg_catalog.bool_or(a.backend_xid is not null), false) as writes
from pg_catalog.pg_stat_activity a
where a.datname = pg_catalog.current_database()
  and a.usename is not null
  and coalesce(a.backend_type, 'client backend') = 'client backend'
  and a.pid <> pg_catalog.pg_backend_pid()
  and coalesce(a.application_name, '') not like 'towpath/%'
group by 1, 2, 3
order by 4 desc, 1, 2, 3
