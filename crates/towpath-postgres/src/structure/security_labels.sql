-- security labels: on what and by whom, not what they say
select i.type || ' ' || i.identity as name,
       l.provider as args,
       l.objoid::int8 as oid,
       '{}'::jsonb as aspects
from (
    select s.classoid, s.objoid, s.objsubid, s.provider
    from pg_catalog.pg_seclabel s
    union all
    select h.classoid, h.objoid, 0, h.provider
    from pg_catalog.pg_shseclabel h
    where h.classoid = 'pg_catalog.pg_authid'::regclass
) l
cross join lateral pg_catalog.pg_identify_object(l.classoid, l.objoid, l.objsubid) i
where i.identity is not null
