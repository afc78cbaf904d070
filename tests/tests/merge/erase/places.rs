//! Where rows of a key are: after an erasure they are in none of these places.

use acceptance::Job;
use milepost_job_spec::Strategy;
use test_case::test_case;

use super::{ALL, CANARY, LAST, Message, People, UNCHANGED, everything, places_of};

/// A person with a history in every place, between others: they are the lowest staged row and the last merged one.
fn with_a_person(strategy: Strategy) -> People {
    let mut people = People::of(strategy);
    let jane = |op, number, position| Message::of(op, CANARY, number, position);
    people.deliver(
        0,
        &[
            jane("c", "1.0", 10),
            Message::of("c", "Ann", "1.00", 11),
            Message::of("c", "Bob", "2", 12),
            jane("u", "1", 13),
        ],
    );
    people.merged();
    people.deliver(
        4,
        &[
            jane("d", "1.000", 14),
            // Set aside, and closed by the next.
            jane("c", "1.00", 15).age(CANARY),
            jane("u", "1.00", 16),
            // The number is another one: another person.
            jane("c", "2.00", 17),
            Message::of("u", "Ann", "1", 18),
            jane("u", "01", 19).notes(UNCHANGED),
            // Its key does not cast. It says nothing of anybody that anybody knows.
            Message::of("c", "Nobody", "none", 20),
            // Open.
            jane("u", "1", 21).age(CANARY),
        ],
    );
    people.merged();
    people.database.run("analyze");
    people
}

#[test_case(Strategy::LiveOnly; "live only")]
#[test_case(ALL; "all versions")]
#[test_case(LAST; "last per batch")]
fn a_person_is_nowhere_afterwards(strategy: Strategy) {
    let mut people = with_a_person(strategy);
    let live = people.live();
    assert!(live.contains(&format!("{CANARY}=1.00")), "{live}");
    let before = places_of(&mut people.database, CANARY);
    for place in [
        "main_staging.shop__people",
        "milepost.positions",
        "milepost.quarantine",
        "pg_catalog.pg_statistic",
    ] {
        assert!(before.contains(&place.to_owned()), "{place}: {before:?}");
    }

    let all = everything(&mut people.database);
    let plan = people.erase(CANARY, "1", &[]);
    assert_eq!(plan.code, 0, "{plan}");
    assert!(plan.stdout.contains("1 live row"), "{plan}");
    assert!(
        plan.stdout
            .contains("5 staged rows, and 2 of which only the position stays"),
        "{plan}"
    );
    assert!(plan.stdout.contains("1 open entry, 1 closed"), "{plan}");
    assert!(
        plan.stdout.contains("nothing was changed: add --yes"),
        "{plan}"
    );
    assert_eq!(
        everything(&mut people.database),
        all,
        "a plan changes nothing"
    );

    for run in [
        plan,
        people.erased(CANARY, "1"),
        people.erased(CANARY, "2.0"),
    ] {
        assert!(!run.to_string().contains(CANARY), "{run}");
    }
    assert_eq!(
        places_of(&mut people.database, CANARY),
        Vec::<String>::new()
    );
    assert_eq!(people.live(), "Ann=1.00,Bob=2.00");
    people.verified();
    let audit = people.database.rows(
        "select keys, rows_live, rows_staged, rows_redacted, quarantine_open, quarantine_closed, positions, batch_number, erased_by, reason
           from milepost.erasures order by id",
    );
    let audit: Vec<String> = audit
        .iter()
        .map(|row| {
            let columns = row.iter().map(|value| value.as_deref().unwrap_or("-"));
            columns.collect::<Vec<_>>().join(" ")
        })
        .collect();
    assert_eq!(
        audit,
        ["1 1 5 2 1 1 1 3 postgres -", "1 1 1 0 0 0 0 4 postgres -"]
    );
    let batch = people.database.rows(
        "select b.status, b.rows_staged, b.rows_closed, d.rows_closed, b.batch_time = (select max(last_batch_time) from milepost.datasets)
           from milepost.batches b join milepost.batch_datasets d on d.batch_id = b.id where b.batch_number = 4",
    );
    let batch: Vec<&str> = batch[0].iter().flatten().map(String::as_str).collect();
    assert_eq!(batch, ["succeeded", "0", "1", "1", "t"]);

    // Nothing is left to find; that somebody asked is kept.
    let again = people.erased(CANARY, "1");
    assert!(again.stdout.contains("nothing was found"), "{again}");
    assert_eq!(
        people
            .database
            .value("select count(*) from milepost.batches"),
        "4"
    );
}

#[test]
fn the_history_of_the_others_is_as_it_was() {
    let mut people = with_a_person(ALL);
    let others = format!(
        r#"select string_agg(t::text, ';' order by t::text) from main.shop__people t where "it's ""who""" <> '{CANARY}'"#
    );
    let before = people.database.value(&others);
    people.erased(CANARY, "1");
    assert_eq!(people.database.value(&others), before);
    let staged = people.database.value(
        r#"select string_agg(concat_ws('@', "it's ""who""", __connect_offset), ',' order by __connect_offset) from main_staging.shop__people"#,
    );
    assert_eq!(
        staged,
        format!("0,Ann@1,Bob@2,{CANARY}@7,Ann@8,Nobody@10,11"),
        "the lowest row and the last stay without their values"
    );
    let entries = people
        .database
        .value("select string_agg(\"offset\"::text, ',') from milepost.quarantine");
    assert_eq!(entries, "10");
}

#[test]
fn a_key_that_comes_again_is_new() {
    for strategy in [Strategy::LiveOnly, ALL, LAST] {
        let mut people = with_a_person(strategy);
        people.erased(CANARY, "1");
        let jane = |op, position| Message::of(op, CANARY, "1", position);
        people.deliver(
            12,
            &[
                // What it had is not known any more.
                jane("u", 30).notes(UNCHANGED),
                Message::of("u", "Bob", "2", 31),
            ],
        );
        let live = people.merged();
        assert_eq!(live, format!("Ann=1.00,Bob=2.00,{CANARY}=2.00"));
        let open = "select count(*) from milepost.quarantine where status = 'open' and key ->> 'number' = '1.00'";
        assert_eq!(people.database.value(open), "1");
        people.deliver(14, &[jane("u", 32)]);
        let live = people.merged();
        assert_eq!(
            live,
            format!("Ann=1.00,Bob=2.00,{CANARY}=1.00,{CANARY}=2.00")
        );
        assert_eq!(people.database.value(open), "0");
        let versions = people.database.value(&format!(
            r#"select count(*) from main.shop__people where "it's ""who""" = '{CANARY}' and number = 1"#
        ));
        assert_eq!(versions, "1", "it begins anew");
        people.verified();
    }
}

#[test]
fn a_mended_entry_is_found_by_what_it_says_now_and_its_row_goes_with_it() {
    let mut people = People::of(ALL);
    people.deliver(
        0,
        &[
            Message::of("c", "Ann", "1", 10),
            Message::of("c", CANARY, "none", 11),
            Message::of("c", "Bob", "1", 12),
        ],
    );
    people.merged();
    people
        .database
        .run("update milepost.quarantine set payload = payload || '{\"number\": \"7.0\"}'");
    let run = people.erased(CANARY, "7");
    assert!(run.stdout.contains("1 open entry"), "{run}");
    assert_eq!(
        places_of(&mut people.database, CANARY),
        Vec::<String>::new()
    );
    people.deliver(3, &[Message::of("u", "Ann", "1", 13)]);
    assert_eq!(people.merged(), "Ann=1.00,Bob=1.00");
}

#[test]
fn a_snapshot_that_is_open_closes_others_and_not_what_was_erased() {
    let mut people = with_a_person(ALL);
    people.deliver(
        12,
        &[
            Message::of("r", CANARY, "1", 40).mark("first"),
            Message::of("r", "Ann", "1", 40).mark("true"),
        ],
    );
    people.merged();
    people.erased(CANARY, "1");
    people.deliver(14, &[Message::of("r", "Eve", "3", 40).mark("last")]);
    assert_eq!(people.merged(), "Ann=1.00,Eve=3.00");
    assert_eq!(
        people
            .database
            .value("select sum(rows_healed) from milepost.batches"),
        "2",
        "Bob and the other number"
    );
    people.verified();
}

#[test]
fn what_a_key_change_takes_along_is_forgotten_with_its_old_key() {
    let mut people = People::of(ALL);
    people.deliver(
        0,
        &[
            Message::of("c", CANARY, "1", 10)
                .notes(&format!("{CANARY}'s notes").replace('\'', "''")),
            Message::of("d", CANARY, "1", 11),
        ],
    );
    people.merged();
    let kept = "select count(*) from milepost.positions where watermark_row ? 'image'";
    assert_eq!(people.database.value(kept), "1");
    people.erased(CANARY, "1");
    assert_eq!(
        places_of(&mut people.database, CANARY),
        Vec::<String>::new()
    );
    people.deliver(2, &[Message::of("c", "Ann", "1", 11).notes(UNCHANGED)]);
    assert_eq!(people.merged(), "");
    assert_eq!(
        people
            .database
            .value("select reason from milepost.quarantine where status = 'open'"),
        "an unchanged large value is not known here"
    );
}

/// Files of tables and indexes that have these bytes.
fn files_with(people: &mut People, text: &str) -> Vec<String> {
    people.database.run("checkpoint");
    let files = people.database.rows(&format!(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where c.relkind in ('r', 'i', 't') and n.nspname in ('main', 'main_staging', 'milepost', 'pg_toast') and pg_relation_size(c.oid) > 0
            and position('{text}'::bytea in pg_read_binary_file(pg_relation_filepath(c.oid))) > 0 order by 1"
    ));
    files.into_iter().flatten().flatten().collect()
}

#[test]
fn freed_space_in_files_keeps_its_bytes_until_the_tables_are_rewritten() {
    let mut people = with_a_person(ALL);
    people.erased(CANARY, "1");
    people.erased(CANARY, "2");
    // PostgreSQL overwrites nothing when it frees space. Should it do so one day, docs/operations.md says too little.
    assert_ne!(files_with(&mut people, CANARY), Vec::<String>::new());
    let tables =
        "main.shop__people, main_staging.shop__people, milepost.quarantine, milepost.positions";
    people.database.run(&format!("vacuum full {tables}"));
    assert_eq!(files_with(&mut people, CANARY), Vec::<String>::new());
}

#[test]
fn statistics_of_a_table_that_is_empty_now_are_told() {
    let mut people = People::of(Strategy::LiveOnly);
    people.deliver(
        0,
        &[
            Message::of("c", CANARY, "1", 10),
            Message::of("c", CANARY, "2", 11),
        ],
    );
    people.merged();
    people.database.run("analyze");
    let first = people.erased(CANARY, "1");
    assert!(!first.stdout.contains("statistics"), "{first}");
    let last = people.erased(CANARY, "2");
    assert!(
        last.stdout
            .contains("statistics of main.shop__people may have values until it has rows again and is analyzed"),
        "{last}"
    );
    people.deliver(2, &[Message::of("c", "Ann", "1", 12)]);
    people.merged();
    people.database.run("analyze main.shop__people");
    assert_eq!(
        places_of(&mut people.database, CANARY),
        Vec::<String>::new()
    );
}

#[test]
fn keys_come_from_a_file_or_standard_input() {
    let mut people = with_a_person(ALL);
    let keys = format!(
        "{{\"it's \\\"who\\\"\": \"{CANARY}\", \"number\": 1}}\n{{\"it's \\\"who\\\"\": \"{CANARY}\", \"number\": \"2.00\"}}\n\
         {{\"it's \\\"who\\\"\": \"{CANARY}\", \"number\": \"1.00\"}}\n"
    );
    let run = Job::erase(people.database.url(), &people.spec, "people")
        .args(["--keys-from", "-", "--yes", "--reason", "request 4711"])
        .input(&keys)
        .run();
    assert_eq!(run.code, 0, "{run}");
    assert!(
        run.stdout
            .starts_with("2 keys of main/shop#people: erased in batch 3"),
        "{run}"
    );
    assert_eq!(
        places_of(&mut people.database, CANARY),
        Vec::<String>::new()
    );
    assert_eq!(
        people
            .database
            .value("select keys || ' ' || reason from milepost.erasures"),
        "2 request 4711"
    );
}

#[test]
fn a_table_of_another_owner_is_erased_from_and_its_owner_told_to_vacuum() {
    let mut people = with_a_person(ALL);
    let role = format!("job_{}", people.database.name());
    people.database.run(&format!(
        "create role \"{role}\" login;
         do $$ declare t regclass; begin
           for t in select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace
                     where n.nspname in ('milepost', 'main') and c.relkind in ('r', 'p', 'v') loop
             execute format('alter table %s owner to %I', t, '{role}');
           end loop;
         end $$;
         grant usage on schema milepost, main, main_staging to \"{role}\";
         grant select, insert, delete on main_staging.shop__people to \"{role}\""
    ));
    let url = people
        .database
        .url()
        .replace("//postgres@", &format!("//{role}@"));
    let run = Job::erase(&url, &people.spec, "people")
        .args([
            "--key",
            &format!("it's \"who\"={CANARY}"),
            "--key",
            "number=1",
        ])
        .args(["--yes"])
        .run();
    assert_eq!(run.code, 0, "{run}");
    let told = "not vacuumed, since another role owns them: let the owner run \
                `vacuum (analyze, index_cleanup on) \"main_staging\".\"shop__people\"`";
    assert!(run.stdout.contains(told), "{run}");
    assert_eq!(
        people
            .database
            .value("select erased_by from milepost.erasures"),
        role
    );
    assert!(!people.live().contains(&format!("{CANARY}=1.00")));
}
