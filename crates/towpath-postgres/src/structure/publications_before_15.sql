-- publications as they were before 15: no schemas, column lists or row filters
select p.pubname as name,
       p.oid::int8 as oid,
       pg_catalog.pg_get_userbyid(p.pubowner) as owner,
       pg_catalog.jsonb_build_object(
           'all_tables', p.puballtables,
           'insert', p.pubinsert,
           'update', p.pubupdate,
           'delete', p.pubdelete,
           'truncate', p.pubtruncate,
           'via_root', p.pubviaroot,
           -- Generated columns can be published since 18; `n` is that they are not.
           'generated_columns', nullif(pg_catalog.to_jsonb(p.*) ->> 'pubgencols', 'n'),
           'schemas', '[]'::jsonb,
           'tables', coalesce(
               (select pg_catalog.jsonb_agg(
                           pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
                               'table', r.prrelid::regclass::text))
                           order by r.prrelid::regclass::text collate "C")
                from pg_catalog.pg_publication_rel r
                where r.prpubid = p.oid), '[]')) as aspects
from pg_catalog.pg_publication p
