-- rules other than those that make a view
select n.nspname as schema,
       c.relname as "on",
       r.rulename as name,
       r.oid::int8 as oid,
       c.oid::int8 as member_with,
       pg_catalog.jsonb_build_object(
           'definition', pg_catalog.pg_get_ruledef(r.oid),
           'enabled', case r.ev_enabled when 'O' then 'origin'
                                        when 'D' then 'disabled'
                                        when 'R' then 'replica'
                                        when 'A' then 'always' end) as aspects
from pg_catalog.pg_rewrite r
join pg_catalog.pg_class c on c.oid = r.ev_class
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where r.rulename <> '_RETURN'
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
