-- triggers; the copies on partitions only where somebody switched one by itself
select n.nspname as schema,
       c.relname as "on",
       t.tgname as name,
       t.oid::int8 as oid,
       -- Triggers are no members of extensions. One that the extension's script made calls the
       -- extension's function; one that a user hung on the extension's table calls his own.
       case when exists (
               select 1
               from pg_catalog.pg_depend f
               join pg_catalog.pg_depend r
                   on r.refclassid = f.refclassid and r.refobjid = f.refobjid
               where f.classid = 'pg_catalog.pg_proc'::regclass
                 and f.objid = t.tgfoid
                 and f.refclassid = 'pg_catalog.pg_extension'::regclass
                 and f.deptype = 'e'
                 and r.classid = 'pg_catalog.pg_class'::regclass
                 and r.objid = c.oid
                 and r.deptype = 'e')
            then c.oid::int8
       end as member_with,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'definition', pg_catalog.pg_get_triggerdef(t.oid),
           'enabled', case t.tgenabled when 'O' then 'origin'
                                       when 'D' then 'disabled'
                                       when 'R' then 'replica'
                                       when 'A' then 'always' end,
           'copy', case when t.tgparentid <> 0 then true end)) as aspects
from pg_catalog.pg_trigger t
join pg_catalog.pg_class c on c.oid = t.tgrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_trigger p on p.oid = t.tgparentid
where not t.tgisinternal
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and (p.oid is null or p.tgenabled <> t.tgenabled)
