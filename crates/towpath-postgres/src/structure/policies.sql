-- row-level security policies
select n.nspname as schema,
       c.relname as "on",
       p.polname as name,
       p.oid::int8 as oid,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'command', case p.polcmd when '*' then 'all'
                                    when 'r' then 'select'
                                    when 'a' then 'insert'
                                    when 'w' then 'update'
                                    when 'd' then 'delete' end,
           'permissive', p.polpermissive,
           'roles', (select pg_catalog.jsonb_agg(r.name order by r.name collate "C")
                     from (
                         select case u.roleid when 0 then 'public'
                                    else pg_catalog.pg_get_userbyid(u.roleid)::text end as name
                         from pg_catalog.unnest(p.polroles) as u (roleid)
                     ) r),
           'using', pg_catalog.pg_get_expr(p.polqual, p.polrelid),
           'with_check', pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))) as aspects
from pg_catalog.pg_policy p
join pg_catalog.pg_class c on c.oid = p.polrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
