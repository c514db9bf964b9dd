-- operators
select n.nspname as schema,
       o.oprname as name,
       (select pg_catalog.string_agg(
                   case when a.typid = 0 then 'none'
                        else coalesce(en.nspname || '.' || e.typname || '[]',
                                      tn.nspname || '.' || t.typname)
                   end,
                   ',' order by a.position)
        from (values (1, o.oprleft), (2, o.oprright)) as a (position, typid)
        left join pg_catalog.pg_type t on t.oid = a.typid
        left join pg_catalog.pg_namespace tn on tn.oid = t.typnamespace
        left join pg_catalog.pg_type e on e.oid = t.typelem and e.typarray = t.oid
        left join pg_catalog.pg_namespace en on en.oid = e.typnamespace) as args,
       o.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(o.oprowner) as owner,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'function', o.oprcode::oid::regprocedure::text,
           'result', pg_catalog.format_type(o.oprresult, null),
           'commutator', case when o.oprcom <> 0 then o.oprcom::regoperator::text end,
           'negator', case when o.oprnegate <> 0 then o.oprnegate::regoperator::text end,
           'restrict', case when o.oprrest <> 0 then o.oprrest::oid::regprocedure::text end,
           'join', case when o.oprjoin <> 0 then o.oprjoin::oid::regprocedure::text end,
           'merges', o.oprcanmerge,
           'hashes', o.oprcanhash)) as aspects
from pg_catalog.pg_operator o
join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
where o.oprcode <> 0
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
