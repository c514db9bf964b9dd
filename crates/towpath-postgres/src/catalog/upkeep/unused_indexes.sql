-- indexes that nobody has read and that nothing but reading needs
select n.nspname as schema,
       t.relname as "table",
       c.relname as name,
       pg_catalog.pg_relation_size(c.oid) as bytes
from pg_catalog.pg_stat_all_indexes s
join pg_catalog.pg_index x on x.indexrelid = s.indexrelid
join pg_catalog.pg_class c on c.oid = x.indexrelid
join pg_catalog.pg_class t on t.oid = x.indrelid
join pg_catalog.pg_namespace n on n.oid = t.relnamespace
where s.idx_scan = 0
  and x.indisvalid
  and not x.indisunique
  and not x.indisprimary
  and not x.indisexclusion
  and not x.indisreplident
  and not c.relispartition
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
order by 4 desc, 1, 2, 3
