select s.system_identifier::text from pg_catalog.pg_control_system() s
