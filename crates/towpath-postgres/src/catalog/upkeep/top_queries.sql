-- queries that took the most time; {schema} is where the extension is
select s.queryid::text as id,
       pg_catalog.min(s.query) as text,
       pg_catalog.sum(s.calls)::int8 as calls,
       pg_catalog.sum(s.total_exec_time) as total_ms
from {schema}.pg_stat_statements s
join pg_catalog.pg_database d on d.oid = s.dbid
where d.datname = pg_catalog.current_database()
  and s.queryid is not null
  -- What could be a query; the server decides. What reads a catalog for towpath is none of theirs.
  and s.query not like 'select row_to_json(answer)::text from (%'
  and s.query ~* '^([[:space:](]|/[*]([^*]|[*]+[^*/])*[*]+/|--[^\n]*\n)*(select|with|values|table)\M'
group by s.queryid
order by 4 desc, 1
limit $1::int8
