-- number of large objects
select pg_catalog.count(*) as count
from pg_catalog.pg_largeobject_metadata m
