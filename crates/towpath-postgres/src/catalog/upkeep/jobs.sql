-- jobs that pg_cron runs
select coalesce(pg_catalog.to_jsonb(j.*) ->> 'jobname', j.jobid::text) as name,
       pg_catalog.concat_ws(' ', j.command, j.nodename || ':' || j.nodeport) as text
from cron.job j
order by 1
