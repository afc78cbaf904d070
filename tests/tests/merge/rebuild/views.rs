//! What readers have: views come back with their grants, and whatever else reads the table stops a rebuild.

use test_case::test_case;

use super::{ALL, People, SNAPSHOT};

#[test]
fn views_functions_and_grants_are_there_again() {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    people.merged();
    let other = format!("analyst_{}", people.database.name());
    people.database.run(&format!(
        "create role {other};
         grant select on risk.shop__people, risk.shop__people__history, main.shop__people to {other};
         grant execute on function risk.shop__people__as_of(timestamptz) to {other}"
    ));
    people
        .database
        .run("create index by_name on main.shop__people__live (name)");
    people.change_key(&["code"]);
    let run = people.rebuilt("source");
    assert!(
        run.stdout.contains("by_name stay with the kept table"),
        "{run}"
    );
    people.stage(&SNAPSHOT);
    people.merged();
    people.database.run(&format!(
        "grant usage on schema risk, main to {other}; set role {other}"
    ));
    for from in [
        "risk.shop__people",
        "risk.shop__people__history",
        "risk.shop__people__as_of(now())",
        "main.shop__people",
    ] {
        let count = people
            .database
            .value(&format!("select count(*) from {from}"));
        assert_eq!(count, "3", "{from}");
    }
    people.database.run("set role risk");
    assert_eq!(
        people
            .database
            .value("select count(*) from risk.shop__people__as_of(now())"),
        "3"
    );
    people.database.run(&format!(
        "reset role; drop owned by {other}; drop role {other}"
    ));
    // Who asks for the past is told where history begins now, and gets no part of an answer.
    let told = people.database.value(
        "select (select history_from from milepost.retention)
              = (select batch_time from milepost.batches where rows_closed > 0 order by id limit 1)",
    );
    assert_eq!(told, "t");
    people.database.run(
        "do $$ begin
           perform * from risk.shop__people__as_of((select min(batch_time) from milepost.batches));
           raise 'it is answered';
         exception when datetime_field_overflow then null;
         end $$",
    );
}

#[test_case("create view public.mine as select * from main.shop__people", &["`view public.mine`"]; "a view on the table")]
#[test_case("create view public.\"m;i\" as select * from main.shop__people__closed", &["`view public.\"m;i\"`"]; "a view on a partition")]
#[test_case("create view public.mine as select * from risk.shop__people; create materialized view public.two as select * from risk.shop__people__history",
            &["`view public.mine`", "`view public.two`"]; "views on ours")]
#[test_case("create function public.f() returns bigint language sql begin atomic select count(*) from risk.shop__people__as_of(now()); end",
            &["`function f()`"]; "a function on ours")]
#[test_case("create table public.child (id bigint references main.shop__people__live (id))", &["`foreign key of public.child`"]; "a foreign key")]
#[test_case("create publication mine for table main.shop__people__live; create function public.g() returns trigger language plpgsql as 'begin return new; end';
             create trigger \"T\" before insert on main.shop__people__closed for each row execute function public.g()",
            &["`publication mine`", "`trigger \"T\"`"]; "a publication and a trigger")]
#[test_case("create policy own on main.shop__people using (true)", &["`policy own`"]; "a policy")]
fn what_somebody_else_built_on_the_table_stops_a_rebuild_by_its_name(sql: &str, names: &[&str]) {
    let mut people = People::of(ALL, &["id"]);
    people.stage(&SNAPSHOT);
    people.merged();
    people.database.run(sql);
    people.change_key(&["code"]);
    let state = people.state();
    for more in [&[][..], &["--yes"]] {
        let run = people.rebuild("source", more);
        assert_eq!(run.code, 1, "{run}");
        for name in names {
            assert!(run.stderr.contains(name), "{run}");
        }
    }
    assert_eq!(people.state(), state);
}
