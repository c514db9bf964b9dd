-- procedural languages
select l.lanname as name,
       l.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(l.lanowner) as owner,
       pg_catalog.jsonb_build_object(
           'trusted', l.lanpltrusted,
           'handler', l.lanplcallfoid::regprocedure::text,
           'inline', l.laninline::regprocedure::text,
           'validator', l.lanvalidator::regprocedure::text) as aspects
from pg_catalog.pg_language l
where l.lanispl
