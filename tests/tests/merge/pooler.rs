//! PgBouncer in transaction mode between the job and its server: every transaction may be on another connection, and nothing of
//! a run may stay on one.

use acceptance::{Job, Pooler};

use crate::kill::{Merged, spec, staged};

#[test]
fn a_run_through_a_pooler_merges_as_one_without() {
    let spec = spec();
    let expected = Merged::undisturbed(&spec);
    let mut database = staged(&spec);
    let pooler = Pooler::start(&database, 2).expect("PgBouncer starts");
    let url = pooler.url(&database);
    let settings = "select string_agg(name || '=' || setting, ' ' order by name) from pg_settings \
                    where name in ('TimeZone', 'work_mem', 'enable_hashjoin', 'search_path', 'lock_timeout')";
    let before = database.value(settings);
    Job::merge(&url, &spec).succeed();
    assert_eq!(Merged::of(&mut database, &spec), expected);
    for verb in ["verify", "topics list"] {
        let arguments = verb.split(' ').chain(["--platform", "main"]);
        Job::new(&url).args(arguments).succeed();
    }
    // As many clients as connections: each sees one that the job used.
    let mut clients = [(); 2].map(|()| acceptance::Database::connect(&url));
    for client in &mut clients {
        client.run("begin");
        assert_eq!(client.value(settings), before);
    }
}

#[test]
fn runs_that_share_connections_do_not_share_a_stream() {
    let spec = spec();
    let expected = Merged::undisturbed(&spec);
    let mut database = staged(&spec);
    // Fewer connections than runs: they wait for one another, and for the lock.
    let pooler = Pooler::start(&database, 3).expect("PgBouncer starts");
    let url = pooler.url(&database);
    let runs: Vec<_> = (0..10).map(|_| Job::merge(&url, &spec).spawn()).collect();
    for run in runs {
        let ended = run.wait_with_output().expect("it ends");
        assert!(
            matches!(ended.status.code(), Some(0 | 75)),
            "{:?}: {}",
            ended.status,
            String::from_utf8_lossy(&ended.stderr)
        );
    }
    Job::merge(&url, &spec).succeed();
    assert_eq!(Merged::of(&mut database, &spec), expected);
}
