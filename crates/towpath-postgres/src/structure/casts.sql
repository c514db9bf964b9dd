-- casts that did not come with the server
select 'cast' as name,
       (select pg_catalog.string_agg(
                   coalesce(en.nspname || '.' || e.typname || '[]',
                            tn.nspname || '.' || t.typname),
                   ',' order by a.position)
        from (values (1, c.castsource), (2, c.casttarget)) as a (position, typid)
        join pg_catalog.pg_type t on t.oid = a.typid
        join pg_catalog.pg_namespace tn on tn.oid = t.typnamespace
        left join pg_catalog.pg_type e on e.oid = t.typelem and e.typarray = t.oid
        left join pg_catalog.pg_namespace en on en.oid = e.typnamespace) as args,
       c.oid::int8 as oid,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'function', case when c.castfunc <> 0
               then c.castfunc::regprocedure::text end,
           'context', case c.castcontext when 'e' then 'explicit'
                                         when 'a' then 'assignment'
                                         when 'i' then 'implicit' end,
           'method', case c.castmethod when 'f' then 'function'
                                       when 'i' then 'inout'
                                       when 'b' then 'binary' end)) as aspects
from pg_catalog.pg_cast c
-- 16384 is where numbers for users' objects begin.
where c.oid >= 16384
  -- A range type makes the cast to its multirange itself.
  and not exists (select 1
                  from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_cast'::regclass
                    and d.objid = c.oid
                    and d.refclassid = 'pg_catalog.pg_type'::regclass
                    and d.deptype = 'i')
