-- settings of roles, of this database, and of roles in it, with their exact values
select r.rolname as role,
       c.setdatabase <> 0 as in_database,
       pg_catalog.split_part(u.entry, '=', 1) as name,
       pg_catalog.substr(u.entry, pg_catalog.strpos(u.entry, '=') + 1) as value
from pg_catalog.pg_db_role_setting c
left join pg_catalog.pg_roles r on r.oid = c.setrole
left join pg_catalog.pg_database d on d.oid = c.setdatabase
cross join lateral pg_catalog.unnest(c.setconfig) as u (entry)
where c.setdatabase = 0 or d.datname = pg_catalog.current_database()
order by 1, 2, 3
