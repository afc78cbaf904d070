//! A sink that cannot write: it stops, says why, and goes on where it stopped.

use acceptance::stack::{Stack, WRITER};

use super::examined::Examined;

#[test]
fn a_sink_that_cannot_write_says_why_and_goes_on() {
    let stack = Stack::shared();
    let mut examined = Examined::prepared(stack);
    let sink = examined.connector(".sink");
    let staged = format!("{}_staging.shop__orders", examined.pipeline.name);
    let writer = WRITER.0;

    // Connectors came before tables: the order of a change was not kept.
    examined.pipeline.prepare().expect("the source is prepared");
    // They may run for a moment, or be seen to fail at once.
    let _ = examined.pipeline.apply();
    examined.says(
        1,
        &[
            &format!("fail connector {sink}: task 0 is FAILED: a staging table does not exist"),
            "remedy: `merge-job publish --from DIR` makes it",
            "control schema: there is none",
        ],
    );
    examined.pipeline.publish().expect("it is published");
    let run = examined.says(
        1,
        &["control: task 0 is FAILED: a staging table does not exist"],
    );
    let status = examined.status();
    assert_eq!(status.code, 1, "{status}");
    let late = format!("late because connector {sink} is FAILED: a staging table does not exist");
    assert!(status.stdout.contains(&late), "{status}");
    examined.type_remedies(&run, "/restart");
    examined.says(0, &[&format!("pass connector {sink}: RUNNING")]);
    examined.merged();
    examined.says(0, &["healthy; nothing waits"]);

    // A right is taken away.
    let owner = |to: &str| format!("alter table {staged} owner to {to}");
    examined.pipeline.platform.run(&owner("postgres"));
    examined
        .pipeline
        .platform
        .run(&format!("grant select on {staged} to {writer}"));
    examined
        .pipeline
        .source
        .run("insert into orders values (1002, 1)");
    let run = examined.says(
        1,
        &[
            &format!(
                "fail connector {sink}: task 0 is FAILED: the database's role may not use a table"
            ),
            &format!("tables: the role may not write `{staged}`"),
        ],
    );
    examined.pipeline.platform.run(&owner(writer));
    examined.type_remedies(&run, "/restart");
    examined.merged();
    examined.is_well();

    // The disk is full. A trigger says so with the server's own code and words: to fill a disk takes root.
    examined.pipeline.platform.run(&format!(
        "create function full_disk() returns trigger language plpgsql as $$ begin
           raise exception using errcode = '53100', message = 'could not extend file \"base/1/2\": No space left on device';
         end $$;
         create trigger full_disk before insert on {staged} for each row execute function full_disk()"
    ));
    examined
        .pipeline
        .source
        .run("insert into orders values (1003, 1)");
    let run = examined.says(
        1,
        &[&format!(
            "fail connector {sink}: task 0 is FAILED: the database's disk is full"
        )],
    );
    examined
        .pipeline
        .platform
        .run(&format!("drop trigger full_disk on {staged}"));
    examined.type_remedies(&run, "/restart");
    examined.merged();
    examined.is_well();
}
