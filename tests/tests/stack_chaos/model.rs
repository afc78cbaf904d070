//! Two stores over one source database: `bank`, whose tables are merged together, and `solo`, whose tables are merged each
//! by itself.

use acceptance::Database;

/// The stores, and the schemas of their tables at the source.
pub(crate) const STORES: [&str; 2] = ["bank", "solo"];
/// What a batch takes at most; the workload's big transactions have several times as many rows.
const MAX_ROWS: u32 = 1000;
/// Rows of each kind in the beginning: what the connector's snapshot finds.
pub(crate) const ACCOUNTS: u32 = 200;
pub(crate) const SEATS: u32 = 40;
pub(crate) const DOCUMENTS: u32 = 60;

/// The tables of a store: a milestoned one, a live-only one, one whose keys change, one with large values that stay.
///
/// `tx` is the transaction that wrote the row last.
const TABLES: &str = "
create schema $STORE;
grant usage on schema $STORE to public;
create table $STORE.accounts (id bigint primary key, owner text not null, balance numeric(14,2), tx bigint);
create table $STORE.orders (id bigint primary key, account bigint, status text, note text, tx bigint);
create table $STORE.seats (line integer, seat integer, guest text, letter text, tx bigint, primary key (line, seat));
create table $STORE.documents (id bigint primary key, title text, body text, meta jsonb, tx bigint);
alter table $STORE.documents alter body set storage external, alter meta set storage external;
alter table $STORE.seats alter letter set storage external;
create function $STORE.stamp() returns trigger language plpgsql as $$
    begin new.tx := pg_current_xact_id()::text::bigint; return new; end $$;
create trigger stamp before insert on $STORE.accounts for each row execute function $STORE.stamp();
create trigger stamp before insert on $STORE.orders for each row execute function $STORE.stamp();
create trigger stamp before insert on $STORE.seats for each row execute function $STORE.stamp();
create trigger stamp before insert on $STORE.documents for each row execute function $STORE.stamp();
create trigger stamp_change before update on $STORE.accounts for each row
    when (old.* is distinct from new.*) execute function $STORE.stamp();
create trigger stamp_change before update on $STORE.orders for each row
    when (old.* is distinct from new.*) execute function $STORE.stamp();
create trigger stamp_change before update on $STORE.seats for each row
    when (old.* is distinct from new.*) execute function $STORE.stamp();
create trigger stamp_change before update on $STORE.documents for each row
    when (old.* is distinct from new.*) execute function $STORE.stamp();
insert into $STORE.accounts select n, 'owner ' || n, 1000 from generate_series(1, $ACCOUNTS) n;
insert into $STORE.orders select n, 1 + n % $ACCOUNTS, 'open', null from generate_series(1, 300) n;
insert into $STORE.seats select 1 + n / 10, n % 10, 'guest ' || n, repeat(md5(n::text), 100) from generate_series(0, $SEATS - 1) n;
insert into $STORE.documents select n, 'title ' || n, repeat(md5(n::text), 120), jsonb_build_object('n', repeat(md5(n::text), 90))
    from generate_series(1, $DOCUMENTS) n;
";

/// Makes the source's tables and their first rows.
pub(crate) fn make_tables(source: &mut Database) {
    for store in STORES {
        source.run(
            &TABLES
                .replace("$STORE", store)
                .replace("$ACCOUNTS", &ACCOUNTS.to_string())
                .replace("$SEATS", &SEATS.to_string())
                .replace("$DOCUMENTS", &DOCUMENTS.to_string()),
        );
    }
}

/// The model of both stores, for the platform of a pipeline.
pub(crate) fn model() -> String {
    let datastores = STORES.map(|store| {
        let together = if store == "bank" {
            "multi-dataset"
        } else {
            "single-dataset"
        };
        DATASTORE
            .replace("$STORE", store)
            .replace("$TOGETHER", together)
    });
    datastores.concat() + WORKSPACE
}

/// What the model says of how the platform merges the stores.
pub(crate) fn overrides() -> String {
    let streams = [
        "bank",
        "solo#accounts",
        "solo#documents",
        "solo#orders",
        "solo#seats",
    ];
    let each = streams.map(|stream| format!("{stream}: {{max-rows: {MAX_ROWS}}}"));
    format!("{{streams: {{{}}}}}", each.join(", "))
}

const DATASTORE: &str = r#"kind: Datastore
name: $STORE
team: europe/sales
ingestion:
  cdc:
    source: $SOURCE
    credential: {name: shop-reader, type: username-password}
    consistency: $TOGETHER
datasets:
  - name: accounts
    from: $STORE.accounts
    key: [id]
    columns:
      - {name: id, type: bigint}
      - {name: owner, type: text}
      - {name: balance, type: "numeric(14,2)", nullable: true}
      - {name: tx, type: bigint, nullable: true}
  - name: orders
    from: $STORE.orders
    key: [id]
    columns:
      - {name: id, type: bigint}
      - {name: account, type: bigint, nullable: true}
      - {name: status, type: text, nullable: true}
      - {name: note, type: text, nullable: true}
      - {name: tx, type: bigint, nullable: true}
  - name: seats
    from: $STORE.seats
    key: [line, seat]
    columns:
      - {name: line, type: integer}
      - {name: seat, type: integer}
      - {name: guest, type: text, nullable: true}
      - {name: letter, type: text, nullable: true}
      - {name: tx, type: bigint, nullable: true}
  - name: documents
    from: $STORE.documents
    key: [id]
    columns:
      - {name: id, type: bigint}
      - {name: title, type: text, nullable: true}
      - {name: body, type: text, nullable: true}
      - {name: meta, type: jsonb, nullable: true}
      - {name: tx, type: bigint, nullable: true}
---
"#;

const WORKSPACE: &str = "kind: Workspace
name: risk
team: europe/sales
groups:
  - name: history
    retention: {milestoned: {minimum: 365d}}
    latency: 5m
    sinks: [bank#accounts, bank#seats, bank#documents, solo#accounts, solo#seats, solo#documents]
  - name: present
    retention: {live-only: {}}
    latency: 5m
    sinks: [bank#orders, solo#orders]
---
kind: Assignment
platform: $PLATFORM
workspace: risk
group: history
---
kind: Assignment
platform: $PLATFORM
workspace: risk
group: present
";
