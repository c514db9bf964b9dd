-- operator families with their members
select n.nspname as schema,
       f.opfname as name,
       m.amname as args,
       f.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(f.opfowner) as owner,
       pg_catalog.jsonb_build_object(
           'method', m.amname,
           'operators', coalesce(
               (select pg_catalog.jsonb_agg(
                           pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
                               'strategy', o.amopstrategy,
                               'operator', o.amopopr::regoperator::text,
                               'sort_family', (
                                   select pg_catalog.format('%I.%I', sn.nspname, s.opfname)
                                   from pg_catalog.pg_opfamily s
                                   join pg_catalog.pg_namespace sn on sn.oid = s.opfnamespace
                                   where s.oid = o.amopsortfamily)))
                           order by o.amopstrategy,
                                    o.amopopr::regoperator::text collate "C",
                                    o.amoppurpose)
                from pg_catalog.pg_amop o
                where o.amopfamily = f.oid), '[]'),
           'functions', coalesce(
               (select pg_catalog.jsonb_agg(
                           pg_catalog.jsonb_build_object(
                               'number', p.amprocnum,
                               'left', pg_catalog.format_type(p.amproclefttype, null),
                               'right', pg_catalog.format_type(p.amprocrighttype, null),
                               'function', p.amproc::oid::regprocedure::text)
                           order by p.amprocnum,
                                    pg_catalog.format_type(p.amproclefttype, null) collate "C",
                                    pg_catalog.format_type(p.amprocrighttype, null) collate "C")
                from pg_catalog.pg_amproc p
                where p.amprocfamily = f.oid), '[]')) as aspects
from pg_catalog.pg_opfamily f
join pg_catalog.pg_am m on m.oid = f.opfmethod
join pg_catalog.pg_namespace n on n.oid = f.opfnamespace
where (n.nspname !~ '^pg_' and n.nspname <> 'information_schema')
