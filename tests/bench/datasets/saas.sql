-- D2 "saas": the mixed schema of a subscription business. 37 tables, of which one holds two thirds of
-- the bytes and thirty are small; every common type; 149 indexes, 38 foreign keys. Every value follows
-- from the number of its row.
-- psql variable: scale (1 is 5,000,000 events, 7.7 million rows in all).
\set ON_ERROR_STOP on
set client_min_messages = warning;
set synchronous_commit = off;
set maintenance_work_mem = '1GB';

select greatest(50, (2000 * sqrt(:scale))::bigint) as tenants,
       greatest(500, (200000 * :scale)::bigint) as members,
       greatest(1000, (5000000 * :scale)::bigint) as events,
       greatest(500, (600000 * :scale)::bigint) as purchases,
       greatest(100, (40000 * :scale)::bigint) as papers,
       greatest(500, (500000 * :scale)::bigint) as changes,
       greatest(100, (5000 * :scale)::bigint) as lookups \gset

create schema saas;
create type saas.tier as enum ('free', 'starter', 'business', 'enterprise');
create type saas.stage as enum ('basket', 'placed', 'settled', 'sent', 'withdrawn', 'returned');

-- A number below `limit` for row n; each column has a salt of its own.
create function saas.draw(n bigint, salt integer, below bigint) returns bigint
language sql immutable parallel safe
return (hashint8extended(n, salt) & 9223372036854775807) % below;

create function saas.key(kind text, n bigint) returns uuid
language sql immutable parallel safe
return md5(kind || '/' || n)::uuid;

-- ------------------------------------------------------------------------------------------------
-- Tenants and members
-- ------------------------------------------------------------------------------------------------

create table saas.tenant (
    id uuid not null,
    title text not null,
    handle text not null,
    tier saas.tier not null default 'free',
    preferences jsonb not null default '{}',
    seats integer,
    joined_at timestamptz not null default now()
);
insert into saas.tenant
select saas.key('tenant', n),
       'Tenant ' || n,
       'tenant-' || n,
       (enum_range(null::saas.tier))[1 + saas.draw(n, 1, 4)],
       jsonb_build_object(
           'look', ('{night,day,system}'::text[])[1 + saas.draw(n, 2, 3)],
           'language', 'l' || saas.draw(n, 3, 9),
           'quota', jsonb_build_object('rows', saas.draw(n, 4, 100000), 'mib', saas.draw(n, 5, 5000))),
       nullif(saas.draw(n, 6, 50), 0),
       timestamptz '2022-03-01 00:00:00+00' + n * interval '7 minutes'
  from generate_series(1, :tenants) n;

create table saas.member (
    id uuid not null,
    tenant uuid not null,
    email text not null,
    display_name text,
    profile jsonb,
    picture_hash bytea,
    permissions text[] not null default '{}',
    telephone varchar(20),
    joined_at timestamptz not null,
    seen_at timestamptz,
    is_staff boolean not null default false
);
insert into saas.member
select saas.key('member', n),
       saas.key('tenant', 1 + saas.draw(n, 11, :tenants)),
       'member' || n || '@mail' || saas.draw(n, 12, 500) || '.example',
       case when saas.draw(n, 13, 10) > 0 then initcap(left(md5('first ' || n), 6) || ' ' || left(md5('last ' || n), 9)) end,
       case when saas.draw(n, 14, 5) > 0 then jsonb_build_object(
           'zone', ('{UTC,Europe/Vienna,America/Chicago,Asia/Seoul}'::text[])[1 + saas.draw(n, 15, 4)],
           'trial', saas.draw(n, 16, 2) = 0,
           'points', saas.draw(n, 17, 1000)) end,
       case when saas.draw(n, 18, 3) = 0 then decode(md5('left ' || n) || md5('right ' || n), 'hex') end,
       ('{read,write,own,invoice,build}'::text[])[1:1 + saas.draw(n, 19, 4)],
       case when saas.draw(n, 20, 4) = 0 then '+43' || saas.draw(n, 21, 10000000000) end,
       timestamptz '2022-04-01 00:00:00+00' + n * interval '2 minutes',
       case when saas.draw(n, 22, 3) > 0 then timestamptz '2024-02-01 00:00:00+00' + saas.draw(n, 23, 10000000) * interval '1 second' end,
       saas.draw(n, 24, 97) = 0
  from generate_series(1, :members) n;

-- ------------------------------------------------------------------------------------------------
-- The big one
-- ------------------------------------------------------------------------------------------------

create table public.event (
    id uuid not null,
    tenant uuid not null,
    member uuid,
    kind text not null,
    detail jsonb,
    amount numeric(12, 2),
    marks text[],
    visit integer,
    at timestamptz not null
);
insert into public.event
select saas.key('event', n),
       saas.key('tenant', 1 + saas.draw(n, 31, :tenants)),
       case when saas.draw(n, 32, 10) > 0 then saas.key('member', 1 + saas.draw(n, 33, :members)) end,
       ('{page_seen,button,joined,purchase,api_call,failure,sign_in,download}'::text[])[1 + saas.draw(n, 34, 8)],
       case when saas.draw(n, 35, 20) > 0 then jsonb_build_object(
           'page', '/q/' || saas.draw(n, 36, 5000), 'ms', saas.draw(n, 37, 30000), 'ok', saas.draw(n, 38, 9) > 0) end,
       case when saas.draw(n, 39, 5) < 2 then saas.draw(n, 40, 100000000)::numeric / 100 end,
       case when saas.draw(n, 41, 5) = 0 then ('{b2,trial,phone,desk,asia,emea}'::text[])[1:1 + saas.draw(n, 42, 3)] end,
       saas.draw(n, 43, 2000000000),
       timestamptz '2023-01-02 00:00:00+00' + n * interval '6 seconds' + saas.draw(n, 44, 1000000) * interval '1 microsecond'
  from generate_series(1, :events) n;

-- ------------------------------------------------------------------------------------------------
-- Purchases
-- ------------------------------------------------------------------------------------------------

create table public.purchase (
    id bigint generated by default as identity,
    tenant uuid not null,
    member uuid not null,
    stage saas.stage not null,
    total numeric(14, 2) not null,
    currency character(3) not null,
    remark text,
    sent_at timestamptz,
    made_at timestamptz not null
);
insert into public.purchase (tenant, member, stage, total, currency, remark, sent_at, made_at)
select saas.key('tenant', 1 + saas.draw(n, 51, :tenants)),
       saas.key('member', 1 + saas.draw(n, 52, :members)),
       (enum_range(null::saas.stage))[1 + saas.draw(n, 53, 6)],
       saas.draw(n, 54, 100000000)::numeric / 100,
       ('{CHF,EUR,SEK,USD}'::text[])[1 + saas.draw(n, 55, 4)],
       case when saas.draw(n, 56, 4) = 0 then 'rem. ' || md5('remark ' || n) end,
       case when saas.draw(n, 57, 2) = 0 then timestamptz '2024-05-01 00:00:00+00' - saas.draw(n, 58, 20000000) * interval '1 second' end,
       timestamptz '2023-05-01 00:00:00+00' + n * interval '50 seconds'
  from generate_series(1, :purchases) n;

create table public.purchase_line (
    purchase bigint not null,
    line integer not null,
    article text not null,
    quantity integer not null,
    price numeric(12, 2) not null,
    rebate numeric(5, 4),
    options jsonb
);
insert into public.purchase_line
select n, l,
       'ART-' || lpad(saas.draw(n * 4 + l, 61, 20000)::text, 6, '0'),
       1 + saas.draw(n * 4 + l, 62, 9),
       saas.draw(n * 4 + l, 63, 1000000)::numeric / 100,
       case when saas.draw(n * 4 + l, 64, 3) = 0 then saas.draw(n * 4 + l, 65, 5000)::numeric / 10000 end,
       case when saas.draw(n * 4 + l, 66, 4) = 0 then jsonb_build_object(
           'paint', ('{grey,teal,amber}'::text[])[1 + saas.draw(n, 67, 3)], 'size', saas.draw(n, 68, 12)) end
  from generate_series(1, :purchases) n, lateral generate_series(1, 1 + saas.draw(n, 60, 3)) l;

-- ------------------------------------------------------------------------------------------------
-- Papers (the rows that are toasted) and changes
-- ------------------------------------------------------------------------------------------------

create table public.paper (
    id uuid not null,
    author uuid not null,
    title text not null,
    body text,
    scan bytea,
    facts jsonb,
    shelves integer[],
    edited_at timestamptz
);
with vocabulary as (
    select string_to_array('water stone river bridge harbour morning letter garden copper window signal meadow timber'
        || ' valley engine lantern market silver winter canvas anchor ladder barrel orchard tunnel compass', ' ') as words
)
insert into public.paper
select saas.key('paper', n),
       saas.key('member', 1 + saas.draw(n, 71, :members)),
       'Paper ' || n,
       (select string_agg(words[1 + saas.draw(n * 1000 + w, 72, 26)], ' ') from generate_series(1, 90 + saas.draw(n, 73, 270)) w),
       case when saas.draw(n, 74, 3) > 0 then decode((select string_agg(md5(n || ':' || p), '') from generate_series(1, 64) p), 'hex') end,
       jsonb_build_object('edition', saas.draw(n, 75, 20), 'open', saas.draw(n, 76, 2) = 0),
       case when saas.draw(n, 77, 2) = 0 then array[saas.draw(n, 78, 100), saas.draw(n, 79, 100)]::integer[] end,
       timestamptz '2024-01-05 00:00:00+00' + n * interval '1 minute'
  from generate_series(1, :papers) n, vocabulary;

create table saas.change (
    id bigserial,
    actor uuid,
    verb text not null,
    object text,
    difference jsonb,
    address inet,
    at timestamptz not null
);
insert into saas.change (actor, verb, object, difference, address, at)
select case when saas.draw(n, 81, 8) > 0 then saas.key('member', 1 + saas.draw(n, 82, :members)) end,
       ('{added,edited,removed,entered}'::text[])[1 + saas.draw(n, 83, 4)],
       ('{purchase,member,paper,NULL}'::text[])[1 + saas.draw(n, 84, 4)],
       jsonb_build_object('was', saas.draw(n, 85, 100000), 'is', saas.draw(n, 86, 100000), 'name', left(md5('name ' || n), 8)),
       ('10.' || saas.draw(n, 87, 256) || '.' || saas.draw(n, 88, 256) || '.' || saas.draw(n, 89, 256))::inet,
       timestamptz '2023-01-03 00:00:00+00' + n * interval '1 minute'
  from generate_series(1, :changes) n;

-- ------------------------------------------------------------------------------------------------
-- Thirty small ones
-- ------------------------------------------------------------------------------------------------

select format($$
    create table saas.%1$I (
        id bigserial,
        reference uuid not null,
        tenant uuid,
        label text not null,
        worth numeric,
        share double precision,
        active boolean,
        facts jsonb,
        made_at timestamptz not null
    );
    insert into saas.%1$I (reference, tenant, label, worth, share, active, facts, made_at)
    select saas.key(%1$L, n),
           case when saas.draw(n, 91, 6) > 0 then saas.key('tenant', 1 + saas.draw(n, 92, %2$s)) end,
           'label ' || left(md5(%1$L || n), 12),
           case when saas.draw(n, 93, 4) > 0 then saas.draw(n, 94, 1000000)::numeric / 1000 end,
           saas.draw(n, 95, 1000000)::double precision / 7,
           saas.draw(n, 96, 2) = 0,
           case when saas.draw(n, 97, 2) = 0 then jsonb_build_object('k', saas.draw(n, 98, 100)) end,
           timestamptz '2023-06-01 00:00:00+00' + n * interval '1 hour'
      from generate_series(1, %3$s * (1 + %4$s %% 4) / 2) n;
    alter table saas.%1$I add primary key (id), add unique (reference);
    create index on saas.%1$I (tenant);
    create index on saas.%1$I (made_at)$$,
    'lookup_' || lpad(t::text, 2, '0'), :tenants, :lookups, t)
  from generate_series(1, 30) t \gexec

-- ------------------------------------------------------------------------------------------------
-- Keys, indexes, foreign keys
-- ------------------------------------------------------------------------------------------------

alter table saas.tenant add primary key (id), add unique (handle);
create index on saas.tenant (joined_at);
create index on saas.tenant (tier);

alter table saas.member add primary key (id), add unique (email);
create index on saas.member (tenant);
create index on saas.member (joined_at);
create index on saas.member using gin (permissions);

alter table public.event add primary key (id);
create index on public.event (tenant, at);
create index on public.event (member);
create index on public.event (kind);
create index on public.event (at);

alter table public.purchase add primary key (id);
create index on public.purchase (member);
create index on public.purchase (tenant, made_at);
create index on public.purchase (stage) where stage <> 'sent';

alter table public.purchase_line add primary key (purchase, line);
create index on public.purchase_line (article);
create index on public.purchase_line ((quantity * price));

alter table public.paper add primary key (id);
create index on public.paper (author);
create index on public.paper (edited_at);
create index on public.paper using gin (facts);

alter table saas.change add primary key (id);
create index on saas.change (actor);
create index on saas.change (at);
create index on saas.change (lower(verb));

alter table saas.member add foreign key (tenant) references saas.tenant;
alter table public.event add foreign key (tenant) references saas.tenant;
alter table public.event add foreign key (member) references saas.member;
alter table public.purchase add foreign key (tenant) references saas.tenant;
alter table public.purchase add foreign key (member) references saas.member;
alter table public.purchase_line add foreign key (purchase) references public.purchase on delete cascade;
alter table public.paper add foreign key (author) references saas.member;
alter table saas.change add foreign key (actor) references saas.member;
select format('alter table saas.%I add foreign key (tenant) references saas.tenant', 'lookup_' || lpad(t::text, 2, '0'))
  from generate_series(1, 30) t \gexec
