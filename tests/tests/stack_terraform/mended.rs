//! What differs from the files is shown by a plan and mended by an apply, and what must stay stays.

use super::{
    CONNECTORS, address, apply, connectors, ends, initialised, known, plan, published, running,
    stack,
};

#[test]
fn what_was_changed_or_deleted_by_hand_is_mended() {
    let mut pipeline = published();
    let terraform = initialised(&pipeline, &stack().connect.url());
    apply(&terraform);
    let rest = stack().connect.rest();
    pipeline
        .source
        .run("insert into orders values (1, 'first')");
    pipeline.quiet().expect("the first row arrives");

    // A setting that somebody changed over REST.
    let (sink, rendered) = running(&pipeline, ".sink");
    let mut edited = rendered.clone();
    edited.insert("batch.size".to_owned(), "7".to_owned());
    rest.put(&sink, &edited).expect("Connect takes it");
    let shown = plan(&terraform, 2);
    assert!(shown.contains(r#""batch.size" = "7" -> "500""#), "{shown}");
    apply(&terraform);
    assert_eq!(running(&pipeline, ".sink").1, rendered);

    // A sink and a source that somebody deleted.
    let (source, _) = running(&pipeline, ".source");
    for name in [&sink, &source] {
        rest.delete(name).expect("Connect deletes it");
    }
    pipeline
        .source
        .run("insert into orders values (2, 'missed')");
    let shown = plan(&terraform, 2);
    for resource in ["shop__sink", "shop__source"] {
        let changed = format!("{} will be updated in-place", address(resource));
        assert!(shown.contains(&changed), "{shown}");
    }
    apply(&terraform);
    plan(&terraform, 0);
    assert_eq!(running(&pipeline, ".sink").1, rendered);

    // Kafka Connect kept their offsets: they go on where they stopped.
    pipeline.quiet().expect("the second row arrives");
    pipeline.merge().expect("both are merged");
    pipeline.compare().expect("the table is the source's");
}

#[test]
fn a_state_that_lost_a_connector_takes_it_back_and_a_source_outlives_destroy() {
    let mut pipeline = published();
    let terraform = initialised(&pipeline, &stack().connect.url());
    apply(&terraform);
    pipeline
        .source
        .run("insert into orders values (1, 'first')");
    let all = connectors(&pipeline);
    assert_eq!(all.len(), CONNECTORS.len());

    let lost = address("shop__sink");
    let (name, before) = running(&pipeline, ".sink");
    ends(&terraform, 0, &["state", "rm", &lost]);
    let refused = ends(&terraform, 1, &["apply", "-auto-approve"]);
    assert!(
        refused.contains(&format!("Connector {name} already exists")),
        "{refused}"
    );
    assert_eq!(running(&pipeline, ".sink").1, before);
    ends(&terraform, 0, &["import", &lost, &name]);
    // OpenTofu has forgotten, with the refused apply, that the sink once ran; Terraform has nothing to do.
    apply(&terraform);
    plan(&terraform, 0);
    assert_eq!(running(&pipeline, ".sink").1, before);

    let refused = ends(&terraform, 1, &["destroy", "-auto-approve"]);
    assert!(refused.contains("prevent_destroy"), "{refused}");
    assert!(refused.contains(&address("shop__source")), "{refused}");
    assert_eq!(connectors(&pipeline), all);

    let sinks = ["shop__sink", "shop__control"].map(|each| format!("-target={}", address(each)));
    ends(
        &terraform,
        0,
        &["destroy", "-auto-approve", &sinks[0], &sinks[1]],
    );
    let (source, _) = running(&pipeline, ".source");
    assert_eq!(connectors(&pipeline), [source]);
    assert_eq!(known(&terraform), ["shop__source"]);

    // The source went on, and the sinks go on where they stopped.
    pipeline.source.run("insert into orders values (2, 'kept')");
    apply(&terraform);
    pipeline.quiet().expect("both rows arrive");
    pipeline.merge().expect("both are merged");
    pipeline.compare().expect("the table is the source's");
}
