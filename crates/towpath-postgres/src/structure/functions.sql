-- functions, procedures, aggregates and window functions
select n.nspname as schema,
       p.proname as name,
       coalesce(
           (select pg_catalog.string_agg(
                       coalesce(en.nspname || '.' || e.typname || '[]',
                                tn.nspname || '.' || t.typname),
                       ',' order by a.position)
            from pg_catalog.unnest(p.proargtypes) with ordinality as a (typid, position)
            join pg_catalog.pg_type t on t.oid = a.typid
            join pg_catalog.pg_namespace tn on tn.oid = t.typnamespace
            left join pg_catalog.pg_type e on e.oid = t.typelem and e.typarray = t.oid
            left join pg_catalog.pg_namespace en on en.oid = e.typnamespace), '') as args,
       p.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(p.proowner) as owner,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'kind', case p.prokind when 'f' then 'function'
                                  when 'p' then 'procedure'
                                  when 'a' then 'aggregate'
                                  when 'w' then 'window' end,
           'language', l.lanname,
           'body', case when p.prokind <> 'a' then
               coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) end,
           'library', p.probin,
           'definition', case when p.prokind <> 'a'
               then pg_catalog.pg_get_functiondef(p.oid) end,
           'arguments', pg_catalog.pg_get_function_arguments(p.oid),
           'returns', pg_catalog.pg_get_function_result(p.oid),
           'volatility', case p.provolatile when 'i' then 'immutable'
                                            when 's' then 'stable'
                                            when 'v' then 'volatile' end,
           'security_definer', p.prosecdef,
           'strict', p.proisstrict,
           'leakproof', p.proleakproof,
           'parallel', case p.proparallel when 's' then 'safe'
                                          when 'r' then 'restricted'
                                          when 'u' then 'unsafe' end,
           'cost', p.procost::text,
           'rows', case when p.proretset then p.prorows::text end,
           'support', case when p.prosupport <> 0
               then p.prosupport::oid::regprocedure::text end,
           'config', (select pg_catalog.jsonb_agg(s.setting order by s.setting collate "C")
                      from pg_catalog.unnest(p.proconfig) as s (setting)),
           'aggregate', (
               select pg_catalog.jsonb_build_object(
                          'kind', g.aggkind,
                          'direct_arguments', g.aggnumdirectargs,
                          'transition', g.aggtransfn::oid::regprocedure::text,
                          'transition_type', pg_catalog.format_type(g.aggtranstype, null),
                          'transition_space', g.aggtransspace,
                          'final', g.aggfinalfn::oid::regprocedure::text,
                          'final_extra', g.aggfinalextra,
                          'final_modify', g.aggfinalmodify,
                          'combine', g.aggcombinefn::oid::regprocedure::text,
                          'serialize', g.aggserialfn::oid::regprocedure::text,
                          'deserialize', g.aggdeserialfn::oid::regprocedure::text,
                          'initial', g.agginitval,
                          'moving_transition', g.aggmtransfn::oid::regprocedure::text,
                          'moving_inverse', g.aggminvtransfn::oid::regprocedure::text,
                          'moving_type', case when g.aggmtranstype <> 0
                              then pg_catalog.format_type(g.aggmtranstype, null) end,
                          'moving_space', g.aggmtransspace,
                          'moving_final', g.aggmfinalfn::oid::regprocedure::text,
                          'moving_final_extra', g.aggmfinalextra,
                          'moving_final_modify', g.aggmfinalmodify,
                          'moving_initial', g.aggminitval,
                          'sort_operator', case when g.aggsortop <> 0
                              then g.aggsortop::regoperator::text end)
               from pg_catalog.pg_aggregate g
               where g.aggfnoid = p.oid))) as aspects
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
join pg_catalog.pg_language l on l.oid = p.prolang
where n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  -- A range type makes its constructors itself, and whoever carries it carries no rights on them.
  and not exists (select 1
                  from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_proc'::regclass
                    and d.objid = p.oid
                    and d.refclassid = 'pg_catalog.pg_type'::regclass
                    and d.deptype = 'i')
