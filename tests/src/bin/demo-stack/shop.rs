//! The shop: its tables, and clients that change them at once.

use acceptance::Database;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::stop::Stop;

/// The datasets of the example, as their source has them.
pub(crate) const TABLES: &str = "
create table customers (
    id bigint primary key, name text not null, email varchar(200), balance numeric(12,2), vip boolean, joined date,
    updated_at timestamptz, notes text, prefs jsonb
);
create table orders (
    id bigint primary key, customer_id bigint, status text, placed_at timestamp(6), total numeric(14,4)
);
create table order_lines (
    order_id bigint, line_no integer, sku text, quantity integer, price numeric(10,2), primary key (order_id, line_no)
);
create table documents (id uuid primary key, title text, body text, meta jsonb, version integer);
insert into customers
select n, 'Customer ' || n, 'c' || n || '@example.com', n * 10, n % 7 = 0, date '2020-01-01' + n, now(), 'first', '{\"n\": 1}'
  from generate_series(1, 200) n;
insert into documents
select gen_random_uuid(), 'Document ' || n, (select string_agg(md5(n || '.' || m), '') from generate_series(1, 100) m), '{}', 1
  from generate_series(1, 50) n;
";

/// Customers that all clients share.
const CUSTOMERS: i64 = 300;
/// Apart so far are the ids that a client makes.
const APART: i64 = 1_000_000;

/// A client until the load ends; every change is a transaction of its own. Returns how many it made.
///
/// Whoever writes several rows writes one that others have at most: clients wait for each other and never in a circle.
pub(crate) fn client(
    mut source: Database,
    number: i64,
    seed: u64,
    has_ended: impl Fn() -> bool,
) -> u64 {
    let mut random = StdRng::seed_from_u64(seed);
    let mut next = number * APART + i64::try_from(seed % 1000).unwrap_or(0) * 1000;
    let mut count = 0;
    while !has_ended() {
        next += 1;
        source.run(&change(&mut random, number, next));
        count += 1;
        std::thread::sleep(std::time::Duration::from_millis(random.random_range(5..40)));
    }
    count
}

fn change(random: &mut StdRng, number: i64, next: i64) -> String {
    let customer = random.random_range(1..=CUSTOMERS);
    let own = random.random_range(number * APART..=next);
    match random.random_range(0..100) {
        0..30 => format!(
            "begin;
             insert into orders values ({next}, {customer}, 'new', clock_timestamp(), 0);
             insert into order_lines select {next}, n, 'sku-' || n, n, n * 1.25 from generate_series(1, {}) n;
             update orders set total = (select sum(price) from order_lines where order_id = {next}) where id = {next};
             update customers set balance = balance - 1, updated_at = clock_timestamp() where id = {customer};
             commit",
            random.random_range(1..8)
        ),
        30..45 => format!(
            "insert into customers values ({customer}, 'Customer {customer}', null, 0, false, current_date, now(), 'again', null)
             on conflict (id) do update set balance = customers.balance + 5, notes = 'note of ' || clock_timestamp()"
        ),
        45..55 => format!("update orders set status = 'paid' where id = {own}"),
        55..60 => format!("delete from customers where id = {customer}"),
        60..65 => format!(
            "begin; delete from order_lines where order_id = {own}; delete from orders where id = {own}; commit"
        ),
        // A large value that the next kinds of change leave alone.
        65..75 => format!(
            "insert into documents values (md5('{next}')::uuid, 'Document {next}',
                 (select string_agg(md5(random()::text), '') from generate_series(1, 120)), '{{\"by\": {number}}}', 1)"
        ),
        75..85 => "update documents set version = version + 1
                    where id = (select id from documents order by random() limit 1)"
            .to_owned(),
        // A key that changes.
        85..90 => format!(
            "update documents set id = md5('moved {next}')::uuid
              where id = (select id from documents order by random() limit 1)"
        ),
        90..95 => format!("begin; update orders set status = 'lost' where id = {own}; rollback"),
        _ => format!("update customers set vip = vip where id = {customer}"),
    }
}

/// A number that differs from run to run, and is told, so that a run's changes can be made again.
pub(crate) fn seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0) % 1_000_000
}

/// Has the load of this moment ended?
pub(crate) fn until(moment: std::time::Instant, stop: &Stop) -> impl Fn() -> bool + use<'_> {
    move || std::time::Instant::now() >= moment || stop.has_no_load()
}
