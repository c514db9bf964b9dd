-- publications
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
           'schemas', coalesce(
               (select pg_catalog.jsonb_agg(n.nspname order by n.nspname collate "C")
                from pg_catalog.pg_publication_namespace s
                join pg_catalog.pg_namespace n on n.oid = s.pnnspid
                where s.pnpubid = p.oid), '[]'),
           'tables', coalesce(
               (select pg_catalog.jsonb_agg(
                           pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
                               'table', r.prrelid::regclass::text,
                               'columns', (
                                   select pg_catalog.jsonb_agg(a.attname order by a.attnum)
                                   from pg_catalog.unnest(r.prattrs) as l (attnum)
                                   join pg_catalog.pg_attribute a
                                       on a.attrelid = r.prrelid and a.attnum = l.attnum),
                               'where', pg_catalog.pg_get_expr(r.prqual, r.prrelid)))
                           order by r.prrelid::regclass::text collate "C")
                from pg_catalog.pg_publication_rel r
                where r.prpubid = p.oid), '[]')) as aspects
from pg_catalog.pg_publication p
