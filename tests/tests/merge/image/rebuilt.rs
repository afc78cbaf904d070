//! Tables of images that are made anew: the next run fills them.

use acceptance::{Job, Run, publish_model};
use milepost_job_spec::{Outcome, Strategy};
use test_case::test_case;

use super::{ALL, Pair};

fn rebuild(pair: &Pair, origin: &str) -> Run {
    let own = [
        "rebuild",
        "--platform",
        "main",
        "--store",
        "shop",
        "--dataset",
        "items",
        "--yes",
    ];
    Job::new(pair.platform.url())
        .args(own)
        .args(["--from", origin])
        .run()
}

fn status(pair: &mut Pair) -> String {
    pair.platform
        .value("select status from milepost.stream_status")
}

#[test_case(ALL; "milestoned")]
#[test_case(Strategy::LiveOnly; "live only")]
fn a_changed_key_is_followed_and_the_next_image_fills_the_table(strategy: Strategy) {
    let mut pair = Pair::of_items(strategy);
    pair.merge();
    pair.spec.datasets[0].key = vec!["v".parse().expect("a name")];
    pair.spec.datasets[0].columns[1].nullable = false;
    let run = publish_model(&pair.platform, std::slice::from_ref(&pair.spec), 2);
    assert_eq!(run.code, 1, "{run}");
    let run = rebuild(&pair, "staging");
    assert_eq!(run.code, i32::from(Outcome::Usage.code()), "{run}");
    assert!(
        run.stderr
            .contains("nothing of it is staged: rebuild it `--from source`"),
        "{run}"
    );
    let run = rebuild(&pair, "source");
    assert_eq!(run.code, 0, "{run}");
    assert!(
        run.stdout
            .contains("the next `merge-job merge` reads its tables whole"),
        "{run}"
    );
    assert_eq!(status(&mut pair), "snapshot");
    assert_eq!(pair.live(), 0);
    pair.source
        .run("delete from items where id < 6; insert into items values (1, 'moved')");
    pair.merge();
    assert_eq!(pair.counts(), "6 6 0 0 0; 0 0");
    assert_eq!(status(&mut pair), "healthy");
    let verified = Job::new(pair.platform.url())
        .args(["verify", "--platform", "main"])
        .run();
    assert_eq!(verified.code, 0, "{verified}");
}
