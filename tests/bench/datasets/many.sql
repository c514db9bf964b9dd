-- Many small tables: what a table costs before its first row.
-- psql variable: scale (1 is 10,000 tables of ten rows).
\set ON_ERROR_STOP on
set synchronous_commit = off;

create schema many;
select format(
    'create table many.%1$I (id integer primary key, label text not null, at timestamptz not null);
     insert into many.%1$I select n, %2$L || n, timestamptz ''2024-01-01 00:00:00+00'' + n * interval ''1 day'' from generate_series(1, 10) n;
     create index on many.%1$I (at)',
    'small_' || lpad(t::text, 5, '0'), 'row of ' || t || ' no ')
  from generate_series(1, greatest(50, round(10000 * :scale)::integer)) t \gexec
