-- event triggers
select e.evtname as name,
       e.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(e.evtowner) as owner,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'event', e.evtevent,
           'function', e.evtfoid::regprocedure::text,
           'enabled', case e.evtenabled when 'O' then 'origin'
                                        when 'D' then 'disabled'
                                        when 'R' then 'replica'
                                        when 'A' then 'always' end,
           'tags', (select pg_catalog.jsonb_agg(t.tag order by t.tag collate "C")
                    from pg_catalog.unnest(e.evttags) as t (tag)))) as aspects
from pg_catalog.pg_event_trigger e
