-- collations, without the version that the library had when they were made
select n.nspname as schema,
       c.collname as name,
       c.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(c.collowner) as owner,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'provider', case c.collprovider when 'c' then 'libc'
                                           when 'i' then 'icu'
                                           when 'b' then 'builtin'
                                           else c.collprovider::text end,
           'deterministic', c.collisdeterministic,
           -- `create collation … from "C"` is for every encoding; dumped and restored, for this one.
           'encoding', (select pg_catalog.pg_encoding_to_char(c.collencoding)
                        from pg_catalog.pg_database d
                        where d.datname = pg_catalog.current_database()
                          and c.collencoding not in (-1, d.encoding)),
           'collate', c.collcollate,
           'ctype', c.collctype,
           -- Its own column since 15, renamed in 17; rules since 16.
           'locale', coalesce(pg_catalog.to_jsonb(c.*) ->> 'colllocale',
                              pg_catalog.to_jsonb(c.*) ->> 'colliculocale'),
           'rules', pg_catalog.to_jsonb(c.*) ->> 'collicurules')) as aspects
from pg_catalog.pg_collation c
join pg_catalog.pg_namespace n on n.oid = c.collnamespace
where n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
