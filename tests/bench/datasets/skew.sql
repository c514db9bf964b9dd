-- D3 "skew": everything is in one table, so whoever gives a table to one worker has one worker.
-- psql variable: scale (1 is 8,000,000 rows of about 100 bytes).
\set ON_ERROR_STOP on
set synchronous_commit = off;
set maintenance_work_mem = '1GB';

create table public.posting (
    id bigint not null,
    account integer not null,
    state smallint not null,
    memo text not null,
    booked_at timestamptz not null
);
insert into public.posting
select n,
       abs(hashint8(n * 3 + 1)::bigint) % 100000,
       abs(hashint8(n * 3 + 2)::bigint) % 4,
       left(md5('posting ' || n), 16) || ' standing order no ' || abs(hashint8(n * 3)::bigint) % 16777216,
       timestamptz '2023-02-01 00:00:00+00' + n * interval '4 seconds'
  from generate_series(1, greatest(1000, (8000000 * :scale)::bigint)) n;

alter table public.posting add primary key (id);
create index posting_of_account on public.posting (account);
create index posting_by_time on public.posting (booked_at);
