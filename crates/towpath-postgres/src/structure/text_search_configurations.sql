-- text search configurations with their mappings
select n.nspname as schema,
       c.cfgname as name,
       c.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(c.cfgowner) as owner,
       pg_catalog.jsonb_build_object(
           'parser', (select pg_catalog.format('%I.%I', pn.nspname, p.prsname)
                      from pg_catalog.pg_ts_parser p
                      join pg_catalog.pg_namespace pn on pn.oid = p.prsnamespace
                      where p.oid = c.cfgparser),
           'mappings', coalesce(
               (select pg_catalog.jsonb_object_agg(m.token, m.dictionaries)
                from (
                    select k.alias as token,
                           pg_catalog.jsonb_agg(x.mapdict::regdictionary::text
                                                order by x.mapseqno) as dictionaries
                    from pg_catalog.pg_ts_config_map x
                    join pg_catalog.ts_token_type(c.cfgparser) k on k.tokid = x.maptokentype
                    where x.mapcfg = c.oid
                    group by k.alias
                ) m), '{}')) as aspects
from pg_catalog.pg_ts_config c
join pg_catalog.pg_namespace n on n.oid = c.cfgnamespace
where n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
