//! Values of every kind, and those that do not fit.

use acceptance::{Job, shop};
use milepost_job_spec::{Outcome, Strategy};
use test_case::test_case;

use super::{ALL, LAST, Pair, says};

/// Every type that an image carries, as the source has it and as it is merged.
const TYPES: &[(&str, &str, &str)] = &[
    ("id", "bigint", "bigint"),
    ("small", "smallint", "smallint?"),
    ("flag", "boolean", "boolean?"),
    ("number", "numeric", "numeric?"),
    ("price", "numeric(12,2)", "numeric(12,2)?"),
    ("half", "real", "real?"),
    ("whole", "double precision", "double precision?"),
    ("short", "varchar(10)", "character varying(10)?"),
    ("padded", "char(5)", "character(5)?"),
    ("words", "text", "text?"),
    ("bytes", "bytea", "bytea?"),
    ("day", "date", "date?"),
    ("clock", "time", "time without time zone?"),
    ("local", "timestamp(3)", "timestamp(3) without time zone?"),
    ("moment", "timestamptz", "timestamp with time zone?"),
    ("span", "interval", "interval?"),
    ("uid", "uuid", "uuid?"),
    ("plain", "json", "json?"),
    ("binary", "jsonb", "jsonb?"),
    ("tags", "text[]", "text[]?"),
    ("counts", "bigint[]", "bigint[]?"),
    ("net", "inet", "inet?"),
    ("mood", "mood", "text?"),
    ("wide", "numrange", "numrange?"),
    ("bit", "bit", "boolean?"),
    ("sum", "money", "numeric?"),
    ("positive", "positive", "integer?"),
    ("Odd \"name\", with ;", "text", "text?"),
    ("attributes", "hstore", "jsonb?"),
];

/// Rows that differ in every value which a careless reader would lose.
const ROWS: &str = r#"
insert into kinds (id) values (1);
insert into kinds values
 (2, -32768, false, 'NaN', 'NaN', 'NaN', 'NaN', '', '', '', '', 'infinity', '24:00', 'infinity', 'infinity', '0', '00000000-0000-0000-0000-000000000000',
  'null', 'null', '{}', '{}', '::/0', 'so so', 'empty', '0', '-12.5', 1, '', ''),
 (3, 32767, true, 'Infinity', 0, 'Infinity', '-Infinity', 'null', 'null', '\N', '\x00', '-infinity', '00:00', '-infinity', '-infinity', '-1 mon +3 days 04:05:06.789', 'ffffffff-ffff-ffff-ffff-ffffffffffff',
  '{"a":1,  "a":2}', '{"a": "\\ \" \n"}', '{"",null,"null","a,b","\"","\\"}', '{1,null}', '10.0.0.1/8', 'happy', '[1,)', '1', '1234567.89', 2, '\N', 'a=>1, b=>NULL'),
 (4, 0, null, '-Infinity', -0.01, '-0', '-0', '   ', '    x', E'tab\there\nline\r\nback\\slash \\. end', '\xdeadbeef5c6e0a09', '4713-01-01 BC', '23:59:59.999999', '4000-01-01 BC', '1883-11-18 12:03:57.5+00', '178000000 years', '11111111-1111-1111-1111-111111111111',
  '"\u0041"', '1.50', '[2:3]={a,b}', '{{1,2},{3,4}}', 'fe80::1', 'sad', '(,1.5]', null, '0', 3, E'\\', '"q\""=>"b\\\\"'),
 (5, 1, true, 1e-20, 1234567890.12, 1.17549435e-38, 5e-324, 'žluťoučký', 'ůů', '😀 ' || chr(8232) || ' 中文', decode(repeat('ff', 3000), 'hex'), '0001-01-01', '12:00', '1582-10-10', '9999-12-31 23:59:59.999999+00', '1 year 2 mons', '22222222-2222-2222-2222-222222222222',
  '[]', '{"k": 12345678901234567890.5}', array[repeat('long ', 5000)], array(select generate_series(1, 3000)), '0.0.0.0', 'happy', '[1.10,2.20)', '1', '92233720368547758.07', 4, repeat('x', 100000), 'ž=>true')
"#;

#[test_case(Strategy::LiveOnly; "live only")]
#[test_case(ALL; "all versions")]
#[test_case(LAST; "last version per batch")]
fn every_value_arrives_as_it_is(strategy: Strategy) {
    let merged: Vec<(&str, &str)> = TYPES
        .iter()
        .map(|(name, _, merged)| (*name, *merged))
        .collect();
    let columns: Vec<String> = TYPES
        .iter()
        .map(|(name, at_source, _)| format!("\"{}\" {at_source}", name.replace('"', "\"\"")))
        .collect();
    // The source prints in its own way: none of it may matter.
    let tables = format!(
        "create extension hstore; create type mood as enum ('sad', 'so so', 'happy');
         create domain number as integer; create domain positive as number check (value > 0);
         create table kinds ({}, primary key (id));
         do $$ begin
           execute format('alter database %I set datestyle = ''German, DMY''', current_database());
           execute format('alter database %I set timezone = ''Asia/Kathmandu''', current_database());
           execute format('alter database %I set intervalstyle = ''iso_8601''', current_database());
           execute format('alter database %I set bytea_output = ''escape''', current_database());
           execute format('alter database %I set extra_float_digits = -15', current_database());
           execute format('alter database %I set standard_conforming_strings = off', current_database());
           execute format('alter database %I set statement_timeout = ''1s''', current_database());
           execute format('alter database %I set search_path = ''nowhere''', current_database());
         end $$; {ROWS}",
        columns.join(", ")
    );
    let mut pair = Pair::of(
        vec![shop::dataset("kinds", strategy, &["id"], &merged)],
        &tables,
    );
    let run = pair.job().run();
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(pair.counts(), "5 5 0 0 0; 0 0");
    is_what_was_written(&mut pair);
    // All of it is seen as what it was: nothing is written twice.
    let run = pair.job().run();
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(pair.counts(), "5 0 0 5 0; 0 0");
    is_what_was_written(&mut pair);
}

/// Both databases print their rows as one text, in ways that do not depend on settings.
fn is_what_was_written(pair: &mut Pair) {
    let value = |name: &str, at_source: bool| {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        match name {
            "half" | "whole" => format!("encode(float8send({quoted}), 'hex')"),
            "bytes" => format!("encode({quoted}, 'hex')"),
            // `epoch` of infinity is infinite, and a text of a date would be one of a style.
            "day" | "local" | "moment" => format!("extract(epoch from {quoted})::text"),
            "span" => format!("encode(interval_send({quoted}), 'hex')"),
            "bit" if at_source => format!("({quoted}::text = '1')::text"),
            "flag" => format!("{quoted}::text"),
            "attributes" if at_source => format!("{quoted}::jsonb::text"),
            "sum" if at_source => format!("{quoted}::numeric::text"),
            "padded" => format!("encode(bpcharsend({quoted}), 'hex')"),
            _ => format!("{quoted}::text"),
        }
    };
    for (name, _, _) in TYPES {
        let sql = |expression: String, table: &str| {
            format!("select {expression} from {table} t order by t.id")
        };
        let there = pair.source.rows(&sql(value(name, true), "public.kinds"));
        let live = pair.spec.datasets[0].live_table().quoted();
        let here = pair.platform.rows(&sql(value(name, false), &live));
        assert_eq!(here, there, "`{name}`");
    }
}

#[test]
fn what_does_not_fit_is_set_aside_until_a_later_image() {
    let mut pair = Pair::of(
        vec![shop::dataset(
            "items",
            ALL,
            &["id"],
            &[("id", "bigint"), ("v", "integer?"), ("w", "character varying(3)")],
        )],
        "create table items (id text, v text, w text);
         insert into items select i, i, 'w' from generate_series(1, 20) i;
         insert into items values ('21', 'many', 'w'), ('none', '1', 'w'), (null, '1', 'w'), ('22', '1', null), ('23', '1', 'long')",
    );
    let run = pair.job().run();
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(pair.counts(), "25 20 0 0 5; 0 0");
    assert_eq!(pair.quarantine(), "open open open open open");
    let reasons = pair
        .platform
        .rows("select topic, \"offset\", reason from milepost.quarantine order by 2");
    let reasons: Vec<String> = reasons
        .into_iter()
        .map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        reasons,
        [
            "@image 20 a value does not cast to its merge type",
            "@image 21 a value does not cast to its merge type",
            "@image 22 the key column `id` is null",
            "@image 23 column `w` is null and not nullable",
            "@image 24 column `w` is longer than 3 characters",
        ]
    );
    // A live row whose new value does not fit stays as it was: its key is there.
    pair.source.run(
        "update items set v = 'several' where id = '1'; delete from items where id in ('21', 'none', '23') or id is null;
         update items set w = 'ok' where id = '22'",
    );
    let run = pair.job().run();
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(pair.counts(), "21 1 0 19 1; 0 0");
    assert_eq!(
        pair.quarantine(),
        "superseded superseded superseded superseded superseded open"
    );
    assert_eq!(pair.live(), 21);
    // Gone at the source, it is gone, open entry or not.
    pair.source.run("delete from items where id = '1'");
    let run = pair.job().run();
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(pair.counts(), "20 0 0 20 0; 1 1");
    assert!(!pair.quarantine().contains("open"));
    pair.is_what_fits();
}

impl Pair {
    fn is_what_fits(&mut self) {
        let sql = "select id::bigint, v::integer, w from {} order by 1";
        assert_eq!(
            self.platform
                .rows(&sql.replace("{}", "main.shop__items__live")),
            self.source.rows(&sql.replace("{}", "items"))
        );
    }
}

#[test]
fn an_entry_of_an_image_is_mended_and_replayed_until_the_next_image() {
    let mut pair = Pair::of(
        vec![shop::dataset(
            "items",
            ALL,
            &["id"],
            &[("id", "bigint"), ("v", "integer?")],
        )],
        "create table items (id text, v text);
         insert into items values ('1', '1'), ('2', 'two'), ('three', '3')",
    );
    assert_eq!(pair.job().run().code, 0);
    assert_eq!(pair.quarantine(), "open open");
    pair.platform.run(
        "update milepost.quarantine set payload = payload || '{\"v\": \"2\"}' where payload ->> 'id' = '2'",
    );
    let replay = Job::quarantine(pair.platform.url(), &pair.spec, "replay")
        .args(["--yes"])
        .run();
    assert_eq!(replay.code, 0, "{replay}");
    assert_eq!(pair.quarantine(), "replayed open");
    assert_eq!(pair.live(), 2);
    // The source has still what does not fit, so the mended row stays.
    assert_eq!(pair.job().run().code, 0);
    assert_eq!(pair.quarantine(), "replayed superseded open open");
    assert_eq!(pair.live(), 2);
    pair.source
        .run("update items set v = '22' where id = '2'; delete from items where id = 'three'");
    pair.merge();
    assert_eq!(
        pair.quarantine(),
        "replayed superseded superseded superseded"
    );
}

#[test]
fn more_that_does_not_fit_than_the_limit_stops_the_stream() {
    let mut pair = Pair::of(
        vec![shop::dataset("items", ALL, &["id"], &[("id", "bigint")])],
        "create table items (id text); insert into items select 'x' || i from generate_series(1, 11) i",
    );
    pair.spec.limits.max_quarantined = 10;
    super::publish_again(&pair, 2);
    let run = pair.job().run();
    says(
        &run,
        Outcome::Findings,
        &["more than 10 rows of dataset `items` in one batch cannot be merged"],
    );
    assert_eq!(pair.quarantine(), "");
}

#[test]
fn keys_with_several_rows_are_refused_by_name_and_without_values() {
    let mut pair = Pair::of(
        vec![shop::dataset(
            "items",
            ALL,
            &["shop", "id"],
            &[("shop", "text"), ("id", "numeric(4,1)"), ("v", "text?")],
        )],
        "create table items (shop text, id text, v text);
         insert into items values ('s3cret', 1, 'a'), ('s3cret', '1.0', 'b'), ('t', 2, 'c'), ('u', null, 'd'), ('u', null, 'd')",
    );
    let run = pair.job().run();
    says(
        &run,
        Outcome::Findings,
        &[
            "1 key (shop, id) of dataset `items` has several rows in `public.items` at the source",
            "unique constraint",
        ],
    );
    assert!(!run.stderr.contains("s3cret"), "{run}");
    assert_eq!(pair.batches(), "0");
    pair.source.run("delete from items where v = 'b'");
    let run = pair.job().run();
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(pair.counts(), "4 2 0 0 2; 0 0");
}

#[test]
fn a_row_that_does_not_fit_makes_its_twin_no_more_the_one_that_is_meant() {
    let mut pair = Pair::of(
        vec![shop::dataset(
            "items",
            ALL,
            &["id"],
            &[("id", "bigint"), ("v", "integer?")],
        )],
        "create table items (id bigint, v text); insert into items values (1, '1'), (1, 'one')",
    );
    let run = pair.job().run();
    says(
        &run,
        Outcome::Findings,
        &["1 key (id) of dataset `items` has several rows"],
    );
    assert_eq!(
        (pair.batches(), pair.quarantine()),
        ("0".to_owned(), String::new())
    );
}
