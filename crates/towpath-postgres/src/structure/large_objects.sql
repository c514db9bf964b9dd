-- large objects of which there is more to say than what they hold
select m.oid::text as name,
       m.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(m.lomowner) as owner,
       '{}'::json as aspects
from pg_catalog.pg_largeobject_metadata m
-- There may be millions that belong to the role that owns everything, and have neither privileges
-- nor a comment.
where m.lomacl is not null
   or pg_catalog.pg_get_userbyid(m.lomowner) <> 'postgres'
   or exists (select 1
              from pg_catalog.pg_description d
              where d.classoid = 'pg_catalog.pg_largeobject'::regclass
                and d.objoid = m.oid)
