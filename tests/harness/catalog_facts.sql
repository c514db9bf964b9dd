-- What a database's catalog says, one fact a line: [type, names, arguments, attribute, value].
-- Objects of the system, of extensions and of the ledger are left out. Definitions come from the
-- server's own functions; what those leave out is read beside them.
with
ns as (
    select oid, nspname from pg_namespace
    where nspname !~ '^pg_' and nspname not in ('information_schema', 'towpath')
),
member as (select classid, objid from pg_depend where deptype = 'e'),
rel as (
    select c.*, n.nspname
    from pg_class c join ns n on n.oid = c.relnamespace
    where c.relpersistence <> 't'
      and not exists (select from member m where m.classid = 'pg_class'::regclass and m.objid = c.oid)
      -- an index or sequence goes with the table of its extension
      and not exists (select from pg_depend d join member m on m.classid = d.refclassid and m.objid = d.refobjid
                      where d.classid = 'pg_class'::regclass and d.objid = c.oid
                        and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
                        and c.relkind in ('i', 'I', 'S'))
      -- the row type of a composite type is told with the type
      and c.relkind <> 'c'
),
proc as (
    select p.*
    from pg_proc p join ns n on n.oid = p.pronamespace
    where not exists (select from member m where m.classid = 'pg_proc'::regclass and m.objid = p.oid)
      -- constructors come with their range
      and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid
                      and d.refclassid = 'pg_type'::regclass and d.deptype = 'i')
),
typ as (
    select t.*
    from pg_type t join ns n on n.oid = t.typnamespace
    where not exists (select from member m where m.classid = 'pg_type'::regclass and m.objid = t.oid)
      and t.typelem = 0
      and t.typtype <> 'm'
      and (t.typrelid = 0 or exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c'))
),
fact (classid, objid, objsubid, told) as (
    -- schemas
    select 'pg_namespace'::regclass::oid, n.oid, 0, jsonb_build_object('is', true)
    from ns n
    where not exists (select from member m where m.classid = 'pg_namespace'::regclass and m.objid = n.oid)
    union all
    select 'pg_extension'::regclass, e.oid, 0, jsonb_build_object('schema', e.extnamespace::regnamespace)
    from pg_extension e
    union all
    -- relations of every kind
    select 'pg_class'::regclass, c.oid, 0, jsonb_build_object(
        'relkind', c.relkind,
        'persistence', c.relpersistence,
        'row_security', c.relrowsecurity,
        'force_row_security', c.relforcerowsecurity,
        'replica_identity', c.relreplident,
        'access_method', (select amname from pg_am where oid = c.relam),
        'of_type', nullif(c.reloftype, 0)::regtype,
        'reloptions', (select array_agg(o order by o) from unnest(c.reloptions) o),
        'toast_reloptions', (select array_agg(o order by o) from pg_class t, unnest(t.reloptions) o
                             where t.oid = c.reltoastrelid),
        'toasted', c.reltoastrelid <> 0,
        'partition_key', pg_get_partkeydef(c.oid),
        'partition_bound', pg_get_expr(c.relpartbound, c.oid),
        'parents', (select array_agg(i.inhparent::regclass order by i.inhseqno) from pg_inherits i where i.inhrelid = c.oid),
        'definition', case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end,
        'populated', c.relispopulated,
        'column_order', (select array_agg(a.attname order by a.attnum) from pg_attribute a
                    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped))
    from rel c
    union all
    -- columns
    select 'pg_class'::regclass, c.oid, a.attnum, jsonb_build_object(
        'type', format_type(a.atttypid, a.atttypmod),
        'not_null', a.attnotnull,
        'default', pg_get_expr(d.adbin, d.adrelid),
        'generated', a.attgenerated,
        'identity', a.attidentity,
        'collation', nullif(a.attcollation, 0)::regcollation,
        'storage', a.attstorage,
        'compression', a.attcompression,
        'statistics', nullif(a.attstattarget, -1),
        'options', (select array_agg(o order by o) from unnest(a.attoptions) o),
        'foreign_options', (select array_agg(o order by o) from unnest(a.attfdwoptions) o),
        'local', a.attislocal,
        'inherited', a.attinhcount,
        'sequence', pg_get_serial_sequence(c.oid::regclass::text, a.attname))
    from rel c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
    union all
    select 'pg_class'::regclass, c.oid, 0, jsonb_build_object('sequence', to_jsonb(s) - 'seqrelid' - 'seqtypid',
        'sequence_type', s.seqtypid::regtype)
    from rel c join pg_sequence s on s.seqrelid = c.oid
    union all
    select 'pg_class'::regclass, c.oid, 0, jsonb_build_object(
        'definition', pg_get_indexdef(x.indexrelid),
        'primary', x.indisprimary, 'unique', x.indisunique, 'exclusion', x.indisexclusion,
        'immediate', x.indimmediate, 'clustered', x.indisclustered, 'valid', x.indisvalid,
        'replica', x.indisreplident, 'of_table', x.indrelid::regclass,
        'statistics', (select jsonb_object_agg(a.attnum, a.attstattarget) from pg_attribute a
                       where a.attrelid = c.oid and a.attstattarget >= 0))
    from rel c join pg_index x on x.indexrelid = c.oid
    union all
    select 'pg_class'::regclass, c.oid, 0, jsonb_build_object(
        'server', s.srvname, 'foreign_options', (select array_agg(o order by o) from unnest(f.ftoptions) o))
    from rel c join pg_foreign_table f on f.ftrelid = c.oid join pg_foreign_server s on s.oid = f.ftserver
    union all
    -- constraints of tables and domains
    select 'pg_constraint'::regclass, k.oid, 0, jsonb_build_object(
        'type', k.contype, 'definition', pg_get_constraintdef(k.oid), 'deferrable', k.condeferrable,
        'deferred', k.condeferred, 'validated', k.convalidated, 'local', k.conislocal,
        'inherited', k.coninhcount, 'no_inherit', case k.contype when 'c' then k.connoinherit end,
        -- which of two indexes over the same columns a foreign key leans on, nobody can say
        'index', case when k.contype <> 'f' then nullif(k.conindid, 0)::regclass end)
    from pg_constraint k
    where (exists (select from rel c where c.oid = k.conrelid) or exists (select from typ t where t.oid = k.contypid))
      and k.contype in ('c', 'f', 'p', 'u', 'x')
      -- copies of foreign keys, one a partition, have made-up names
      and not (k.contype = 'f' and k.conparentid <> 0)
    union all
    select 'pg_trigger'::regclass, g.oid, 0, jsonb_build_object(
        'definition', pg_get_triggerdef(g.oid), 'enabled', g.tgenabled)
    from pg_trigger g join rel c on c.oid = g.tgrelid
    where not g.tgisinternal
    union all
    select 'pg_rewrite'::regclass, r.oid, 0, jsonb_build_object(
        'definition', pg_get_ruledef(r.oid), 'enabled', r.ev_enabled)
    from pg_rewrite r join rel c on c.oid = r.ev_class
    where r.rulename <> '_RETURN'
    union all
    select 'pg_policy'::regclass, p.oid, 0, jsonb_build_object(
        'command', p.polcmd, 'permissive', p.polpermissive,
        'roles', (select array_agg(coalesce(a.rolname, 'public') order by a.rolname)
                  from unnest(p.polroles) o left join pg_roles a on a.oid = o),
        'using', pg_get_expr(p.polqual, p.polrelid), 'with_check', pg_get_expr(p.polwithcheck, p.polrelid))
    from pg_policy p join rel c on c.oid = p.polrelid
    union all
    select 'pg_statistic_ext'::regclass, s.oid, 0, jsonb_build_object(
        'definition', pg_get_statisticsobjdef(s.oid), 'target', nullif(s.stxstattarget, -1))
    from pg_statistic_ext s join rel c on c.oid = s.stxrelid
    union all
    -- functions and aggregates
    select 'pg_proc'::regclass, p.oid, 0, jsonb_build_object(
        'prokind', p.prokind, 'definition', case when p.prokind <> 'a' then pg_get_functiondef(p.oid) end,
        'body', p.prosrc, 'security_definer', p.prosecdef, 'leakproof', p.proleakproof, 'parallel', p.proparallel,
        'cost', p.procost::text, 'rows', p.prorows::text, 'config', p.proconfig, 'strict', p.proisstrict,
        'volatility', p.provolatile, 'returns', pg_get_function_result(p.oid),
        'arguments', pg_get_function_arguments(p.oid), 'support', nullif(p.prosupport, 0)::regprocedure)
    from proc p
    union all
    select 'pg_proc'::regclass, p.oid, 0, jsonb_build_object('aggregate', to_jsonb(g)
        - 'aggfnoid' - 'aggtranstype' - 'aggmtranstype' - 'aggsortop' || jsonb_build_object(
            'state', g.aggtranstype::regtype, 'moving_state', g.aggmtranstype::regtype, 'sort', g.aggsortop::regoperator))
    from proc p join pg_aggregate g on g.aggfnoid = p.oid
    union all
    -- types
    select 'pg_type'::regclass, t.oid, 0, jsonb_build_object(
        'typtype', t.typtype, 'not_null', t.typnotnull, 'default', t.typdefault,
        'base', case when t.typtype = 'd' then format_type(t.typbasetype, t.typtypmod) end,
        'collation', nullif(t.typcollation, 0)::regcollation,
        'labels', (select array_agg(e.enumlabel order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid),
        'attributes', (select jsonb_agg(jsonb_build_array(a.attname, format_type(a.atttypid, a.atttypmod),
                                        nullif(a.attcollation, 0)::regcollation,
                                        col_description(a.attrelid, a.attnum)) order by a.attnum)
                       from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped),
        'range', (select jsonb_build_array(r.rngsubtype::regtype, nullif(r.rngcollation, 0)::regcollation,
                                           (select opcname from pg_opclass where oid = r.rngsubopc),
                                           r.rngcanonical, r.rngsubdiff, r.rngmultitypid::regtype)
                  from pg_range r where r.rngtypid = t.oid))
    from typ t
    union all
    select 'pg_collation'::regclass, k.oid, 0, to_jsonb(k) - 'oid' - 'collnamespace' - 'collowner' - 'collversion' - 'collencoding'
    from pg_collation k join ns n on n.oid = k.collnamespace
    union all
    select 'pg_conversion'::regclass, k.oid, 0, jsonb_build_object(
        'from', pg_encoding_to_char(k.conforencoding), 'to', pg_encoding_to_char(k.contoencoding),
        'function', k.conproc, 'is_default', k.condefault)
    from pg_conversion k join ns n on n.oid = k.connamespace
    union all
    select 'pg_operator'::regclass, o.oid, 0, jsonb_build_object(
        'function', o.oprcode, 'result', o.oprresult::regtype, 'commutator', o.oprcom::regoperator,
        'negator', o.oprnegate::regoperator, 'restrict', o.oprrest, 'join', o.oprjoin,
        'hashes', o.oprcanhash, 'merges', o.oprcanmerge)
    from pg_operator o join ns n on n.oid = o.oprnamespace
    where not exists (select from member m where m.classid = 'pg_operator'::regclass and m.objid = o.oid)
    union all
    select 'pg_opclass'::regclass, o.oid, 0, jsonb_build_object(
        'type', o.opcintype::regtype, 'is_default', o.opcdefault,
        'operators', (select array_agg(a.amopstrategy || ' ' || a.amopopr::regoperator order by a.amopstrategy)
                      from pg_amop a where a.amopfamily = o.opcfamily))
    from pg_opclass o join ns n on n.oid = o.opcnamespace
    where not exists (select from member m where m.classid = 'pg_opclass'::regclass and m.objid = o.oid)
    union all
    select 'pg_opfamily'::regclass, o.oid, 0, jsonb_build_object('is', true)
    from pg_opfamily o join ns n on n.oid = o.opfnamespace
    where not exists (select from member m where m.classid = 'pg_opfamily'::regclass and m.objid = o.oid)
    union all
    select 'pg_cast'::regclass, k.oid, 0, jsonb_build_object(
        'context', k.castcontext, 'method', k.castmethod, 'function', nullif(k.castfunc, 0)::regprocedure)
    from pg_cast k
    where k.oid >= 16384
      and not exists (select from member m where m.classid = 'pg_cast'::regclass and m.objid = k.oid)
    union all
    select 'pg_ts_dict'::regclass, d.oid, 0, jsonb_build_object(
        'template', d.dicttemplate::text, 'options', d.dictinitoption)
    from pg_ts_dict d join ns n on n.oid = d.dictnamespace
    where not exists (select from member m where m.classid = 'pg_ts_dict'::regclass and m.objid = d.oid)
    union all
    select 'pg_ts_config'::regclass, f.oid, 0, jsonb_build_object(
        'parser', (select prsname from pg_ts_parser where oid = f.cfgparser),
        'mappings', (select jsonb_agg(jsonb_build_array(m.maptokentype, m.mapseqno, m.mapdict::regdictionary)
                                      order by m.maptokentype, m.mapseqno)
                     from pg_ts_config_map m where m.mapcfg = f.oid))
    from pg_ts_config f join ns n on n.oid = f.cfgnamespace
    union all
    -- foreign data, publications, event triggers
    select 'pg_foreign_data_wrapper'::regclass, w.oid, 0, jsonb_build_object('options', w.fdwoptions)
    from pg_foreign_data_wrapper w
    where not exists (select from member m where m.classid = 'pg_foreign_data_wrapper'::regclass and m.objid = w.oid)
    union all
    select 'pg_foreign_server'::regclass, s.oid, 0, jsonb_build_object(
        'type', s.srvtype, 'version', s.srvversion,
        'options', (select array_agg(o order by o) from unnest(s.srvoptions) o),
        'wrapper', (select fdwname from pg_foreign_data_wrapper where oid = s.srvfdw))
    from pg_foreign_server s
    union all
    select 'pg_publication'::regclass, p.oid, 0, to_jsonb(p) - 'oid' - 'pubname' - 'pubowner' || jsonb_build_object(
        'members', (select jsonb_agg(jsonb_build_array(r.prrelid::regclass::text,
                                     pg_get_expr(r.prqual, r.prrelid),
                                     (select array_agg(a.attname order by a.attnum) from pg_attribute a
                                      where a.attrelid = r.prrelid and a.attnum = any (r.prattrs::int2[])))
                                     order by r.prrelid::regclass::text collate "C")
                    from pg_publication_rel r where r.prpubid = p.oid))
    from pg_publication p
    union all
    select 'pg_event_trigger'::regclass, e.oid, 0, jsonb_build_object(
        'event', e.evtevent, 'tags', e.evttags, 'enabled', e.evtenabled, 'function', e.evtfoid::regproc)
    from pg_event_trigger e
    where e.evtfoid::regproc::text not like 'rds\_%'
),
-- comments and rights of whatever was told of
described as (
    select f.classid, f.objid, f.objsubid, jsonb_build_object('comment', d.description) as told
    from (select distinct classid, objid, objsubid from fact) f
    join pg_description d on d.classoid = f.classid and d.objoid = f.objid and d.objsubid = f.objsubid
),
lists (classid, objid, objsubid, owner, kind, acl) as (
    select 'pg_class'::regclass, c.oid, 0, c.relowner, (case c.relkind when 'S' then 's' else 'r' end)::"char", c.relacl
    from rel c where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    union all
    select 'pg_proc'::regclass, p.oid, 0, p.proowner, 'f', p.proacl from proc p
    union all
    select 'pg_type'::regclass, t.oid, 0, t.typowner, 'T', t.typacl from typ t
    union all
    select 'pg_namespace'::regclass, n.oid, 0, n.nspowner, 'n', n.nspacl
    from pg_namespace n join ns using (oid)
    where not exists (select from member m where m.classid = 'pg_namespace'::regclass and m.objid = n.oid)
    union all
    select 'pg_foreign_server'::regclass, s.oid, 0, s.srvowner, 'S', s.srvacl from pg_foreign_server s
),
granted as (
    select l.classid, l.objid, l.objsubid, l.owner, g.grantee, g.privilege_type, bool_or(g.is_grantable) as option
    from (select classid, objid, objsubid, owner, coalesce(acl, acldefault(kind, owner)) as acl from lists
          union all
          select 'pg_class'::regclass, c.oid, a.attnum, c.relowner, a.attacl
          from rel c join pg_attribute a on a.attrelid = c.oid and a.attacl is not null) l,
         lateral aclexplode(l.acl) g
    where g.grantee <> l.owner
    group by 1, 2, 3, 4, 5, 6
),
rights as (
    select g.classid, g.objid, g.objsubid, jsonb_build_object(
        'grant ' || g.privilege_type || ' to ' || coalesce(r.rolname, 'public'), case when g.option then 'grantable' else 'plain' end) as told
    from granted g left join pg_roles r on r.oid = g.grantee
    union all
    select l.classid, l.objid, l.objsubid, jsonb_build_object('owner', pg_get_userbyid(l.owner))
    from lists l
    union all
    select l.classid, l.objid, l.objsubid, jsonb_build_object('owners right ' || e.privilege_type, true)
    from lists l, lateral aclexplode(acldefault(l.kind, l.owner)) e
    where e.grantee = l.owner
),
told as (
    select a.type, a.object_names, a.object_args, j.key, j.value
    from (select * from fact union all select * from described union all select * from rights) f,
         lateral pg_identify_object_as_address(f.classid, f.objid, f.objsubid) a,
         lateral jsonb_each_text(f.told) j
    union all
    select 'default acl', array[pg_get_userbyid(d.defaclrole)] || coalesce(n.nspname::text, ''), array[d.defaclobjtype::text],
           'grant ' || g.privilege_type || ' to ' || coalesce(r.rolname, 'public'),
           case when g.is_grantable then 'grantable' else 'plain' end
    from pg_default_acl d
    left join pg_namespace n on n.oid = d.defaclnamespace,
    lateral aclexplode(d.defaclacl) g left join pg_roles r on r.oid = g.grantee
    where g.grantee <> d.defaclrole
    union all
    select 'setting', array[coalesce(r.rolname, ''), split_part(c, '=', 1)], array[]::text[], 'value', substr(c, strpos(c, '=') + 1)
    from pg_db_role_setting s
    left join pg_roles r on r.oid = s.setrole,
    lateral unnest(s.setconfig) c
    where s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
    union all
    select 'user mapping', array[m.usename], array[m.srvname], 'is', 'true'
    from pg_user_mappings m
    union all
    select 'role', array[r.rolname], array[]::text[], j.key, j.value
    from pg_roles r,
    lateral jsonb_each_text(jsonb_build_object(
        'login', r.rolcanlogin, 'inherit', r.rolinherit, 'createdb', r.rolcreatedb, 'createrole', r.rolcreaterole,
        'bypassrls', r.rolbypassrls, 'replication', r.rolreplication, 'limit', r.rolconnlimit,
        'until', r.rolvaliduntil, 'comment', shobj_description(r.oid, 'pg_authid'),
        'superuser', r.rolsuper)) j
    where r.rolname !~ '^pg_'
    union all
    select 'membership', array[m.rolname, g.rolname], array[]::text[], 'admin', a.admin_option::text
    from pg_auth_members a join pg_roles g on g.oid = a.roleid join pg_roles m on m.oid = a.member
    where m.rolname !~ '^pg_'
)
select json_build_array(type, object_names, coalesce(object_args, '{}'), key, value)
from told
