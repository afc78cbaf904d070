use std::collections::BTreeMap;

use super::*;
use crate::doctor::finding::{Grade, outcome};
use crate::doctor::report;
use crate::live::connect::{Server, Validation};
use crate::live::source::{Captured, Publication, Slot, SourceTable};

fn name(name: &str) -> TableName {
    TableName {
        schema: "public".to_owned(),
        name: name.to_owned(),
    }
}

fn source() -> PostgresSource {
    PostgresSource {
        store: "shop".to_owned(),
        connector: "main.shop.source".to_owned(),
        host: "shop-db".to_owned(),
        port: 5432,
        database: "shop".to_owned(),
        user_variable: "READER_USER".to_owned(),
        password_variable: "READER_PASSWORD".to_owned(),
        slot: "main__shop".to_owned(),
        publication: "main__shop".to_owned(),
        tables: [(
            name("orders"),
            Captured {
                key: ["id".to_owned()].into(),
                columns: vec!["id".to_owned(), "total".to_owned()],
            },
        )]
        .into(),
        signals: Some(name("signals")),
        heartbeat: Some(name("heartbeat")),
        ledger: None,
    }
}

fn healthy() -> SourceFacts {
    SourceFacts {
        server: Ok(SourceServer {
            number: 150_004,
            version: "15.4".to_owned(),
            wal_level: "logical".to_owned(),
            slots: 10,
            slots_used: 1,
            senders: 10,
            senders_used: 1,
            may_replicate: true,
            most_kept_bytes: None,
        }),
        skew: Ok(3),
        slot: Ok(Some(Slot {
            plugin: Some("pgoutput".to_owned()),
            database: Some("shop".to_owned()),
            active: true,
            wal_status: Some("reserved".to_owned()),
            kept_bytes: Some(5_000),
        })),
        publication: Ok(Some(Publication {
            left_out: Vec::new(),
            tables: [name("orders"), name("signals"), name("heartbeat")].into(),
        })),
        tables: Ok([(
            name("orders"),
            SourceTable {
                identity: "d".to_owned(),
                identity_columns: ["id".to_owned()].into(),
                columns: ["id".to_owned(), "total".to_owned()].into(),
                readable: true,
            },
        )]
        .into()),
        own_tables: Ok([(name("signals"), true), (name("heartbeat"), true)].into()),
        unread: Ok(Vec::new()),
    }
}

fn told(change: impl FnOnce(&mut SourceFacts)) -> String {
    let mut facts = healthy();
    change(&mut facts);
    report::human(&judge(&source(), &Ok(facts), &down()), false)
}

#[track_caller]
fn says(told: &str, line: &str) {
    assert!(told.contains(line), "`{line}` is not in:\n{told}");
}

fn change_server(facts: &mut SourceFacts, change: impl FnOnce(&mut SourceServer)) {
    facts.server.as_mut().map(change).unwrap();
}

fn change_slot(facts: &mut SourceFacts, change: impl FnOnce(&mut Slot)) {
    change(facts.slot.as_mut().unwrap().as_mut().unwrap());
}

fn change_table(facts: &mut SourceFacts, change: impl FnOnce(&mut SourceTable)) {
    change(
        facts
            .tables
            .as_mut()
            .unwrap()
            .get_mut(&name("orders"))
            .unwrap(),
    );
}

#[test]
fn a_healthy_source_passes_whole() {
    let findings = judge(&source(), &Ok(healthy()), &down());
    let told = report::human(&findings, false);
    assert!(
        findings.iter().all(|finding| finding.grade == Grade::Pass),
        "{told}"
    );
    says(
        &told,
        "pass source shop slot main__shop: active; it keeps 5000 bytes of log, and no bound is set",
    );
}

/// A Kafka Connect that nobody reaches.
fn down() -> Answer<ConnectFacts> {
    Err(Trouble::Unreachable("Connection refused".to_owned()))
}

#[test]
fn without_a_credential_it_is_a_warning_and_says_who_asked_instead() {
    let trouble = || Trouble::Unconfigured(vec!["READER_PASSWORD".to_owned()]);
    let validated = ConnectFacts {
        server: Server {
            version: "4.3.0".to_owned(),
        },
        plugins: Ok(Vec::new()),
        connectors: Ok(BTreeMap::new()),
        validations: [("main.shop.source".to_owned(), Ok(Validation::default()))].into(),
        offsets: BTreeMap::new(),
    };
    let findings = judge(&source(), &Err(trouble()), &Ok(validated));
    says(
        &report::human(&findings, false),
        "warn source shop: not asked: the environment has no READER_PASSWORD; Kafka Connect has tried",
    );
    assert_eq!(outcome(&findings).code(), 0);
    let findings = judge(&source(), &Err(trouble()), &down());
    says(
        &report::human(&findings, false),
        "warn source shop: not asked: the environment has no READER_PASSWORD; nor was it examined otherwise: \
         Kafka Connect: cannot be reached: Connection refused",
    );
}

#[test]
fn a_replica_level_a_role_and_full_slots_are_told() {
    let told = told(|facts| {
        change_server(facts, |server| {
            server.wal_level = "replica".to_owned();
            server.may_replicate = false;
            server.slots_used = 10;
        });
    });
    says(
        &told,
        "fail source shop wal_level: replica, so nothing can be captured\n     remedy: `alter system set wal_level = logical`",
    );
    says(
        &told,
        "fail source shop role: the user of `READER_USER` may not replicate",
    );
    says(
        &told,
        "warn source shop max_replication_slots: 10 of 10 in use",
    );
}

#[test]
fn a_slot_that_is_lost_missing_or_of_somebody_else_fails() {
    let lost = told(|facts| change_slot(facts, |slot| slot.wal_status = Some("lost".to_owned())));
    says(
        &lost,
        "fail source shop slot main__shop: the log is gone that it kept",
    );
    says(&lost, "pg_drop_replication_slot('main__shop')");
    let missing = told(|facts| facts.slot = Ok(None));
    says(
        &missing,
        "fail source shop slot main__shop: it does not exist",
    );
    let other = told(|facts| change_slot(facts, |slot| slot.plugin = Some("wal2json".to_owned())));
    says(
        &other,
        "it is of plugin `wal2json` in database `shop`, the connector needs `pgoutput` in `shop`",
    );
}

#[test]
fn kept_log_is_told_above_a_gigabyte_or_half_of_its_bound() {
    let keeps = |kept, most| {
        told(|facts| {
            change_slot(facts, |slot| slot.kept_bytes = Some(kept));
            change_server(facts, |server| server.most_kept_bytes = most);
        })
    };
    says(&keeps(1 << 30, None), "pass source shop slot main__shop");
    says(
        &keeps((1 << 30) + 1, None),
        "warn source shop slot main__shop: it keeps 1024 MB of log, and no bound is set",
    );
    says(
        &keeps(33 << 20, Some(64 << 20)),
        "warn source shop slot main__shop: it keeps 33 MB of log, of at most 64 MB",
    );
    says(
        &keeps(31 << 20, Some(64 << 20)),
        "pass source shop slot main__shop",
    );
}

#[test]
fn a_publication_that_lacks_a_table_fails_and_one_with_more_warns() {
    let lacks = told(|facts| {
        facts
            .publication
            .as_mut()
            .unwrap()
            .as_mut()
            .unwrap()
            .tables
            .clear()
    });
    says(
        &lacks,
        "fail source shop publication main__shop: it lacks `public.orders`, `public.signals`, `public.heartbeat`",
    );
    let more = told(|facts| {
        let tables = &mut facts.publication.as_mut().unwrap().as_mut().unwrap().tables;
        tables.insert(name("others"));
    });
    says(
        &more,
        "warn source shop publication main__shop: it holds `public.others`, which the model does not capture",
    );
    says(
        &told(|facts| facts.publication = Ok(None)),
        "publication main__shop: it does not exist",
    );
}

#[test]
fn a_table_without_key_column_or_reader_fails() {
    let bare = told(|facts| {
        change_table(facts, |table| {
            table.identity_columns.clear();
            table.columns.remove("total");
            table.readable = false;
        });
    });
    says(
        &bare,
        "fail source shop table public.orders: it has no primary key",
    );
    says(
        &bare,
        "fail source shop table public.orders: it has no column `total`",
    );
    says(
        &bare,
        "fail source shop table public.orders: the user of `READER_USER` may not read it",
    );
    let other = told(|facts| {
        change_table(facts, |table| {
            table.identity_columns = ["total".to_owned()].into()
        })
    });
    says(
        &other,
        "its replica identity is `total`, the model's key `id`",
    );
    let gone = told(|facts| facts.tables = Ok(BTreeMap::new()));
    says(
        &gone,
        "fail source shop table public.orders: it does not exist",
    );
}

#[test]
fn a_table_of_a_dataset_without_a_key_may_take_inserts_only() {
    let mut keyless = source();
    keyless.tables.get_mut(&name("orders")).unwrap().key.clear();
    let mut facts = healthy();
    change_table(&mut facts, |table| table.identity_columns.clear());
    let told = report::human(&judge(&keyless, &Ok(facts), &down()), false);
    says(
        &told,
        "warn source shop table public.orders: it has no primary key",
    );
    says(&told, "replica identity full");
}

#[test]
fn tables_of_ours_are_missed() {
    let told = told(|facts| facts.own_tables = Ok([(name("signals"), false)].into()));
    says(
        &told,
        "fail source shop table public.signals: the user of `READER_USER` may not use it for signals",
    );
    says(
        &told,
        "fail source shop table public.heartbeat: it does not exist",
    );
}

#[test]
fn what_was_added_and_not_asked_for_is_told() {
    assert!(!told(|_| ()).contains("snapshots"));
    says(
        &told(|facts| facts.unread = Ok(vec!["orders".to_owned()])),
        "warn source shop snapshots: nobody asked for `orders`",
    );
}
