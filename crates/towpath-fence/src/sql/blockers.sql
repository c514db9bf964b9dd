-- who holds what a session waits for
with waiting as (
    select l.relation
    from pg_catalog.pg_locks l
    where l.pid = $1::int4 and not l.granted
)
select distinct
       b.pid::int4 as pid,
       coalesce(a.application_name, '') as application,
       coalesce(a.usename, '') as login,
       coalesce(a.state, a.backend_type, '') as state,
       coalesce(pg_catalog.floor(extract(epoch from pg_catalog.clock_timestamp() - a.xact_start)), 0)::int8 as age_s,
       ''::text as prepared
from pg_catalog.unnest(pg_catalog.pg_blocking_pids($1::int4)) as b (pid)
left join pg_catalog.pg_stat_activity a on a.pid = b.pid
where b.pid <> 0
union all
select 0, '', p.owner, '',
       coalesce(pg_catalog.floor(extract(epoch from pg_catalog.clock_timestamp() - p.prepared)), 0)::int8,
       p.gid
from pg_catalog.pg_prepared_xacts p
-- It holds the lock of its own id, and has no process.
join pg_catalog.pg_locks own
    on own.pid is null and own.locktype = 'transactionid' and own.transactionid = p.transaction
join pg_catalog.pg_locks l on l.pid is null and l.virtualtransaction = own.virtualtransaction
where 0 = any (pg_catalog.pg_blocking_pids($1::int4))
  and l.granted
  and l.mode not in ('AccessShareLock', 'RowShareLock')
  and l.relation in (select relation from waiting)
