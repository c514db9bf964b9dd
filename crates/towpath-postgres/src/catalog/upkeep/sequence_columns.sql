-- sequences and the columns that take their values from them
with used as (
    -- The default of a column.
    select d.refobjid as sequence, f.adrelid as relation, f.adnum as number
    from pg_catalog.pg_depend d
    join pg_catalog.pg_attrdef f on f.oid = d.objid
    where d.classid = 'pg_catalog.pg_attrdef'::regclass
      and d.refclassid = 'pg_catalog.pg_class'::regclass
      and d.deptype = 'n'
      -- What reckons with the value, or makes a text of it, says nothing about the column's values.
      and pg_catalog.pg_get_expr(f.adbin, f.adrelid)
          ~ '^\(?nextval\(''.*''::regclass\)\)?(::(smallint|integer|bigint))?$'
    union
    -- The column's own: an identity.
    select d.objid, d.refobjid, d.refobjsubid
    from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_class'::regclass
      and d.refclassid = 'pg_catalog.pg_class'::regclass
      and d.refobjsubid > 0
      and d.deptype = 'i'
)
select pg_catalog.jsonb_build_object('schema', sn.nspname, 'name', s.relname) as sequence,
       pg_catalog.jsonb_build_object('schema', n.nspname, 'name', c.relname) as "table",
       a.attname as "column",
       case case when t.typtype = 'd' then t.typbasetype else t.oid end
           when 'pg_catalog.int2'::regtype then 32767
           when 'pg_catalog.int4'::regtype then 2147483647
           when 'pg_catalog.int8'::regtype then 9223372036854775807 end as largest,
       q.seqincrement as increment,
       q.seqmin as min,
       q.seqmax as max,
       q.seqcycle as cycles,
       pg_catalog.has_column_privilege(c.oid, a.attnum, 'select')
           and pg_catalog.has_schema_privilege(n.oid, 'usage')
           and pg_catalog.has_schema_privilege(sn.oid, 'usage')
           and pg_catalog.has_sequence_privilege(s.oid, 'select')
           and not pg_catalog.row_security_active(c.oid) as readable,
       case when c.relkind = 'p'
            then (select coalesce(pg_catalog.sum(pg_catalog.pg_relation_size(p.relid)), 0)
                  from pg_catalog.pg_partition_tree(c.oid) p)
            else pg_catalog.pg_relation_size(c.oid) end < 1073741824
           or exists (
               select
               from pg_catalog.pg_index x
               join pg_catalog.pg_class k on k.oid = x.indexrelid
               join pg_catalog.pg_am m on m.oid = k.relam
               where x.indrelid = c.oid
                 and x.indisvalid
                 and x.indpred is null
                 and x.indkey[0] = a.attnum
                 and m.amname = 'btree') as is_cheap
from used u
join pg_catalog.pg_class s on s.oid = u.sequence and s.relkind = 'S'
join pg_catalog.pg_sequence q on q.seqrelid = s.oid
join pg_catalog.pg_namespace sn on sn.oid = s.relnamespace
join pg_catalog.pg_class c on c.oid = u.relation and c.relkind in ('r', 'p')
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = u.number
join pg_catalog.pg_type t on t.oid = a.atttypid
where c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'towpath')
  and pg_catalog.pg_get_userbyid(c.relowner) <> 'rdsadmin'
  -- A partition is read with the table that it is a part of, where that one uses the same sequence.
  and not (c.relispartition
           and exists (
               select
               from used r
               where r.sequence = u.sequence
                 and r.relation = pg_catalog.pg_partition_root(c.oid)))
  -- What an extension made is the extension's.
  and not exists (
      select
      from pg_catalog.pg_depend e
      where e.classid = 'pg_catalog.pg_class'::regclass
        and e.objid = c.oid
        and e.deptype = 'e')
order by sn.nspname, s.relname, n.nspname, c.relname, a.attname
