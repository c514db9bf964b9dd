-- D1 "narrow": a bank of many short rows, the shape and size of `pgbench -i -s 50 --foreign-keys`.
-- psql variable: scale (1 is 50 branches and 5,000,000 accounts).
\set ON_ERROR_STOP on
set synchronous_commit = off;
set maintenance_work_mem = '1GB';

select greatest(1, round(50 * :scale)::integer) as branches \gset

create schema bank;
create table bank.branch (id integer not null, balance integer, filler character(88));
create table bank.teller (id integer not null, branch integer, balance integer, filler character(84));
create table bank.account (id integer not null, branch integer, balance integer, filler character(84));
-- Empty, as after pgbench -i: a table without rows and without a key is part of the shape.
create table bank.movement (teller integer, branch integer, account integer, delta integer, at timestamp, filler character(22));

insert into bank.branch select b, 0, null from generate_series(1, :branches) b;
insert into bank.teller select t, 1 + (t - 1) / 10, 0, null from generate_series(1, :branches * 10) t;
insert into bank.account select a, 1 + (a - 1) / 100000, 0, '' from generate_series(1, :branches * 100000) a;

alter table bank.branch add primary key (id);
alter table bank.teller add primary key (id);
alter table bank.account add primary key (id);
alter table bank.teller add foreign key (branch) references bank.branch;
alter table bank.account add foreign key (branch) references bank.branch;
alter table bank.movement add foreign key (branch) references bank.branch;
alter table bank.movement add foreign key (teller) references bank.teller;
alter table bank.movement add foreign key (account) references bank.account;
