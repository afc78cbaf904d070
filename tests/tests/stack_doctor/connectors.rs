//! Connectors that somebody stopped, edited or removed.

use acceptance::stack::Stack;

use super::examined::Examined;

#[test]
fn a_stack_is_well_until_somebody_touches_a_connector() {
    let stack = Stack::shared();
    let mut examined = Examined::running(stack);
    let run = examined.is_well();
    for line in [
        "pass source shop slot ",
        "pass plugin io.debezium.connector.postgresql.PostgresConnector: version 3.6.0.Final",
        "sink: RUNNING with 1 task, as planned, and its settings are valid",
        "pass sink ",
        ": healthy; nothing waits",
    ] {
        assert!(run.stdout.contains(line), "`{line}` is not in:\n{run}");
    }
    let status = examined.status();
    assert_eq!(status.code, 0, "{status}");
    assert!(
        status
            .stdout
            .contains("healthy  nothing waits  last batch "),
        "{status}"
    );
    let (rest, sink) = (stack.connect.rest(), examined.connector(".sink"));

    // Paused: the remedy is a line to type.
    rest.order(&sink, "pause").expect("it pauses");
    let paused = format!("fail connector {sink}: somebody made it PAUSED");
    let run = examined.says(1, &[&paused]);
    examined
        .pipeline
        .source
        .run("insert into orders values (1001, 1)");
    let status = examined.status();
    assert!(
        status
            .stdout
            .contains(&format!("late because connector {sink} is PAUSED")),
        "{status}"
    );
    examined.type_remedies(&run, "/resume");
    examined.merged();
    examined.is_well();

    // Edited by hand: it runs, and not as planned.
    let planned = rest.config(&sink).expect("it exists");
    let mut edited = planned.clone();
    edited.insert("batch.size".to_owned(), "7".to_owned());
    edited.insert("by.hand".to_owned(), "s3cr3t".to_owned());
    rest.put(&sink, &edited).expect("it is taken");
    let run = examined.says(
        0,
        &[&format!(
            "warn connector {sink}: its settings are not the plan's: `batch.size`, `by.hand`"
        )],
    );
    assert!(!run.stdout.contains("s3cr3t"), "{run}");

    // Deleted: rendering and applying brings both back, and it goes on where it stopped.
    rest.delete(&sink).expect("it goes");
    examined.says(1, &[&format!("fail connector {sink}: it does not exist")]);
    let status = examined.status();
    assert_eq!(status.code, 1, "{status}");
    assert!(
        status
            .stdout
            .contains(&format!("late because connector {sink} is MISSING")),
        "{status}"
    );
    examined
        .pipeline
        .source
        .run("insert into orders values (1002, 1)");
    examined.pipeline.apply().expect("it is made again");
    examined.merged();
    examined.is_well();

    // A connector of ours that is in no plan.
    let stranger = sink.replace(".shop.", ".gone.");
    let mut config = planned;
    config.insert("name".to_owned(), stranger.clone());
    rest.put(&stranger, &config).expect("it is taken");
    examined.says(
        0,
        &[&format!(
            "warn connector {stranger}: it has a name of platform"
        )],
    );
    rest.delete(&stranger).expect("it goes");
    examined.is_well();
}
