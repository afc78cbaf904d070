//! Topics that were deleted and made again (T50), new ones beside known ones, and staging that was emptied or restored.

use std::collections::BTreeMap;

use acceptance::{Cluster, Database, Job, Run, publish, shop};
use milepost_job_spec::{OnResnapshot, Outcome, Strategy, StreamSpec, TableRef};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use test_case::test_case;

use crate::{ALL, LAST};

/// A stream of one dataset `things` whose snapshots close what they do not have.
fn things(strategy: Strategy) -> StreamSpec {
    let mut spec = shop::single_streams(&shop::stream(strategy)).remove(0);
    let columns = [("id", "integer"), ("word", "text?")];
    spec.stream.dataset = Some("things".to_owned());
    spec.datasets = vec![shop::dataset("things", strategy, &["id"], &columns)];
    spec.datasets[0].policy.resnapshot = OnResnapshot::Heal;
    spec.datasets[0].policy.max_missing_percent = 100;
    spec
}

/// A message of the topic.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) op: &'static str,
    pub(crate) id: i64,
    pub(crate) word: String,
    /// Where it stands at the source, or where the source stood at its snapshot.
    pub(crate) position: i64,
    /// Of a row of a snapshot.
    pub(crate) mark: Option<&'static str>,
}

pub(crate) struct Things {
    pub(crate) database: Database,
    pub(crate) spec: StreamSpec,
}

impl Things {
    pub(crate) fn of(strategy: Strategy) -> Self {
        let spec = things(strategy);
        let database = Cluster::shared().database();
        publish(&database, std::slice::from_ref(&spec));
        Self { database, spec }
    }

    /// Writes a message as a sink does: what stands at its offset is overwritten.
    pub(crate) fn sink(&mut self, topic: &str, partition: i32, offset: i64, message: &Message) {
        let Message {
            op,
            id,
            word,
            position: at,
            mark,
        } = message;
        let place = match mark {
            None => format!("'[\"{at}\",\"{at}\"]', {at}, '{at}:1', 1, {at}, 'false'"),
            Some(mark) => format!("null, {at}, null, null, {at}, '{mark}'"),
        };
        let columns = "id, word, __op, __sequence, __lsn, __transaction_id, __transaction_total_order, __source_ts_us, __snapshot";
        let new: Vec<String> = columns
            .split(", ")
            .map(|column| format!("{column} = excluded.{column}"))
            .collect();
        self.database.run(&format!(
            "insert into main_staging.shop__things ({columns}, __connect_topic, __connect_partition, __connect_offset)
             values ({id}, '{word}', '{op}', {place}, '{topic}', {partition}, {offset})
             on conflict (__connect_topic, __connect_partition, __connect_offset) do update set {}",
            new.join(", ")
        ));
    }

    /// Messages of topic `t` from this offset on.
    pub(crate) fn deliver(&mut self, from: i64, messages: &[Message]) {
        for (offset, message) in (from..).zip(messages) {
            self.sink("t", 0, offset, message);
        }
    }

    pub(crate) fn merge(&self) -> Run {
        Job::merge(self.database.url(), &self.spec).run()
    }

    pub(crate) fn merged(&mut self) -> String {
        Job::merge(self.database.url(), &self.spec).succeed();
        self.live()
    }

    pub(crate) fn live(&mut self) -> String {
        let only_live = if self.spec.datasets[0].strategy.is_milestoned() {
            "where dp_out is null"
        } else {
            ""
        };
        self.database.value(&format!(
            "select coalesce(string_agg(id || '=' || word, ',' order by id), '') from main.shop__things {only_live}"
        ))
    }

    pub(crate) fn accept(&self, meaning: &str, more: &[&str]) -> Run {
        Job::new(self.database.url())
            .args([
                "topics",
                "accept",
                "--platform",
                "main",
                "--store",
                "shop",
                "--dataset",
                "things",
                "--as",
                meaning,
            ])
            .args(more.iter().copied())
            .run()
    }

    /// What `merge` and `topics` may change, staging among it.
    fn state(&mut self) -> String {
        let rows = self.database.rows(
            "select 'row', t::text from main.shop__things t
             union all select 'staged', s::text from main_staging.shop__things s
             union all select 'batch', b::text from milepost.batches b where b.status = 'succeeded'
             union all select 'position', p::text from milepost.positions p order by 1, 2",
        );
        format!("{rows:?}")
    }

    /// A merge is refused with these words and this command, and changes nothing.
    fn is_refused(&mut self, words: &str, command: &str) {
        let before = self.state();
        let run = self.merge();
        assert_eq!(run.code, i32::from(Outcome::Findings.code()), "{run}");
        assert!(run.stderr.contains(words), "{run}");
        assert!(run.stderr.contains(command), "{run}");
        assert_eq!(self.state(), before, "a refused run changes nothing");
        let verified = Job::new(self.database.url())
            .args(["verify", "--platform", "main"])
            .run();
        assert_eq!(verified.code, 1, "{verified}");
        assert!(verified.stdout.contains(words), "{verified}");
    }
}

pub(crate) fn create(id: i64, word: &str, position: i64) -> Message {
    Message {
        op: "c",
        id,
        word: word.to_owned(),
        position,
        mark: None,
    }
}

pub(crate) fn read(id: i64, word: &str, position: i64, mark: &'static str) -> Message {
    Message {
        op: "r",
        mark: Some(mark),
        ..create(id, word, position)
    }
}

const T0: [&str; 4] = ["--topic", "t", "--partition", "0"];
pub(crate) const YES: [&str; 5] = ["--topic", "t", "--partition", "0", "--yes"];

#[test_case(ALL; "all versions")]
#[test_case(Strategy::LiveOnly; "live only")]
fn a_topic_that_was_made_again_stops_the_stream_and_starts_anew_when_a_person_says_so(
    strategy: Strategy,
) {
    let mut things = Things::of(strategy);
    let old: Vec<Message> = (0..5).map(|n| create(n, "old", 10 + n)).collect();
    things.deliver(0, &old);
    assert_eq!(things.merged(), "0=old,1=old,2=old,3=old,4=old");

    // Shorter than what was merged: without the check nothing would be seen.
    let new = [
        read(0, "new", 90, "first"),
        read(1, "new", 90, "true"),
        read(7, "new", 90, "last"),
    ];
    things.deliver(0, &new);
    things.is_refused(
        "topic `t`, partition 0, of dataset `things` is not the one that was merged: another row stands at offset 0",
        "merge-job topics accept --platform main --store shop --dataset things --topic t --partition 0 --as recreated",
    );
    // Longer: the rows below the watermark would be lost.
    let later: Vec<Message> = (3..9).map(|n| create(n, "later", 100 + n)).collect();
    things.deliver(3, &later);
    things.is_refused(
        "is not the one that was merged: another row stands at offset 4",
        "--as recreated",
    );

    let before = things.state();
    let plan = things.accept("recreated", &T0);
    assert_eq!(plan.code, 0, "{plan}");
    assert!(
        plan.stdout
            .contains("partition 0 (recreated): made again, 9 staged rows and 0 closed quarantine entries of the old one removed"),
        "{plan}"
    );
    assert!(
        plan.stdout.contains("nothing was changed: add --yes"),
        "{plan}"
    );
    assert_eq!(things.state(), before, "a plan changes nothing");
    let done = things.accept("recreated", &YES);
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(
        things.live(),
        "0=old,1=old,2=old,3=old,4=old",
        "merged rows stay"
    );
    assert_eq!(
        things
            .database
            .value("select count(*) from main_staging.shop__things"),
        "0"
    );

    // The sink begins with the topic. Its snapshot closes what was deleted while nobody looked.
    things.deliver(0, &new);
    things.deliver(3, &later);
    assert_eq!(
        things.merged(),
        "0=new,1=new,3=later,4=later,5=later,6=later,7=later,8=later"
    );
}

#[test]
fn what_a_recreated_topic_brings_again_of_the_same_source_is_a_replay() {
    let mut things = Things::of(ALL);
    let update = |word: &str, position| Message {
        op: "u",
        ..create(1, word, position)
    };
    things.deliver(0, &[create(1, "a", 10), update("b", 11), update("c", 12)]);
    assert_eq!(things.merged(), "1=c");
    assert_eq!(things.accept("recreated", &YES).code, 0);
    things.deliver(0, &[update("b", 11)]);
    assert_eq!(things.merged(), "1=c", "it was merged");
    things.deliver(1, &[update("c", 12), update("d", 13)]);
    assert_eq!(things.merged(), "1=d");
    assert_eq!(
        things
            .database
            .value("select sum(rows_replayed) from milepost.batches"),
        "2"
    );
}

#[test]
fn a_topic_that_is_delivered_again_is_the_same() {
    let mut things = Things::of(ALL);
    let rows: Vec<Message> = (0..6).map(|n| create(n, "x", 10 + n)).collect();
    things.deliver(0, &rows[..4]);
    assert_eq!(things.merged(), "0=x,1=x,2=x,3=x");
    let before = things.state();
    things.deliver(0, &rows[..4]);
    assert_eq!(things.merge().code, 0);
    assert_eq!(things.state(), before);
    things.deliver(0, &rows);
    assert_eq!(things.merged(), "0=x,1=x,2=x,3=x,4=x,5=x");
}

#[test]
fn staging_that_was_emptied_goes_on_from_the_watermark() {
    let mut things = Things::of(ALL);
    let rows: Vec<Message> = (0..8).map(|n| create(n, "x", 10 + n)).collect();
    things.deliver(0, &rows[..4]);
    things.merged();
    things.database.run("truncate main_staging.shop__things");
    things.is_refused(
        "the row at offset 3, the last that was merged, is not staged any more",
        "set the sink's consumer group back to offset 3",
    );
    // The sink is at its end: what it brings would follow rows that nobody saw.
    things.deliver(6, &rows[6..]);
    things.is_refused("the row at offset 3", "--as same");
    things.deliver(3, &rows[3..]);
    assert_eq!(things.merged(), "0=x,1=x,2=x,3=x,4=x,5=x,6=x,7=x");
    assert_eq!(
        things
            .database
            .value("select sum(rows_replayed) from milepost.batches"),
        "0",
        "the row at the watermark is not merged again"
    );
}

#[test]
fn staging_whose_last_merged_row_is_nowhere_goes_on_when_a_person_says_so() {
    let mut things = Things::of(ALL);
    let rows: Vec<Message> = (0..6).map(|n| create(n, "x", 10 + n)).collect();
    things.deliver(0, &rows[..4]);
    things.merged();
    things.database.run("truncate main_staging.shop__things");
    things.deliver(4, &rows[4..5]);
    let plan = things.accept("same", &T0);
    assert!(
        plan.stdout.contains("the same, merged from offset 4 on"),
        "{plan}"
    );
    assert_eq!(things.merge().code, 1, "a plan changes nothing");
    assert_eq!(things.accept("same", &YES).code, 0);
    assert_eq!(things.merged(), "0=x,1=x,2=x,3=x,4=x");
    // From now on it is recognised again.
    things.sink("t", 0, 4, &create(9, "other", 99));
    things.is_refused("is not the one that was merged", "--as recreated");
}

#[test]
fn a_new_topic_or_partition_stops_the_stream_unless_it_was_announced() {
    let mut things = Things::of(ALL);
    things.sink("t", 0, 0, &create(1, "a", 10));
    things.sink("t", 1, 0, &create(2, "b", 11));
    assert_eq!(
        things.merged(),
        "1=a,2=b",
        "at first there is nothing to be new beside"
    );

    things.sink("t", 2, 5, &create(3, "c", 12));
    things.is_refused(
        "topic `t`, partition 2, of dataset `things` is new",
        "merge-job topics accept --platform main --store shop --dataset things --topic t --partition 2 --as new",
    );
    let list = Job::new(things.database.url())
        .args(["topics", "list", "--platform", "main"])
        .run();
    assert_eq!(
        list.stdout,
        "shop#things  t/0  known  merged 0, staged 0 to 0\n\
         shop#things  t/1  known  merged 0, staged 0 to 0\n\
         shop#things  t/2  new  merged none, staged 5 to 5\n"
    );
    let announced = [
        "--topic",
        "t",
        "--partition",
        "2",
        "--partition",
        "3",
        "--partition",
        "3",
        "--yes",
    ];
    assert_eq!(things.accept("new", &announced).code, 0);
    assert_eq!(things.merged(), "1=a,2=b,3=c");
    things.sink("t", 3, 0, &create(4, "d", 13));
    assert_eq!(things.merged(), "1=a,2=b,3=c,4=d", "it was announced");

    // A topic under another name is no other matter.
    things.sink("renamed", 0, 0, &create(5, "e", 14));
    things.is_refused(
        "topic `renamed`, partition 0",
        "--topic renamed --partition 0 --as new",
    );
}

#[test]
fn partitions_that_a_first_batch_has_no_room_for_are_known() {
    let mut things = Things::of(ALL);
    things.spec.limits.max_rows = 1;
    let mut spec = things.spec.clone();
    let run = acceptance::publish_model(&things.database, std::slice::from_mut(&mut spec), 2);
    assert_eq!(run.code, 0, "{run}");
    for partition in 0..3 {
        things.sink("t", partition, 0, &create(partition.into(), "x", 10));
    }
    assert_eq!(things.merged(), "0=x,1=x,2=x");
}

#[test_case("new", &T0, "is known already"; "a known one is not new")]
#[test_case("same", &["--topic", "t", "--partition", "4"], "nothing was merged from topic `t`, partition 4"; "an unknown one is not the same")]
#[test_case("recreated", &["--topic", "other", "--partition", "0"], "nothing was merged from topic `other`"; "an unknown one is not recreated")]
#[test_case("new", &["--topic", "t", "--partition=-1"], "-1 is not in 0.."; "no partition has a negative number")]
fn what_cannot_be_said_of_a_partition_is_refused(meaning: &str, more: &[&str], words: &str) {
    let mut things = Things::of(ALL);
    things.deliver(0, &[create(1, "a", 10)]);
    things.merged();
    let before = things.state();
    let run = things.accept(meaning, &[more, &["--yes"]].concat());
    assert_eq!(run.code, i32::from(Outcome::Usage.code()), "{run}");
    assert!(run.stderr.contains(words), "{run}");
    assert_eq!(things.state(), before);
}

#[test]
fn open_quarantine_of_a_recreated_topic_is_settled_first() {
    let mut things = Things::of(ALL);
    things.deliver(0, &[create(1, "a", 10), create(2, "b", 11)]);
    things
        .database
        .run("update main_staging.shop__things set id = null where id = 2");
    assert_eq!(things.merged(), "1=a");
    let run = things.accept("recreated", &YES);
    assert_eq!(run.code, i32::from(Outcome::Findings.code()), "{run}");
    assert!(
        run.stderr
            .contains("1 row of topic `t`, partition 0 is in open quarantine"),
        "{run}"
    );
    let discard = Job::quarantine(things.database.url(), &things.spec, "discard");
    discard.args(["--all", "--yes"]).succeed();
    let plan = things.accept("recreated", &T0);
    assert!(plan.stdout.contains("1 closed quarantine entry"), "{plan}");
    assert_eq!(things.accept("recreated", &YES).code, 0);
    // A row at the offset of the old entry is set aside like any other.
    things.deliver(0, &[create(1, "c", 20), create(3, "d", 21)]);
    things
        .database
        .run("update main_staging.shop__things set id = null where id = 3");
    assert_eq!(things.merged(), "1=c");
    assert_eq!(
        things
            .database
            .value("select string_agg(status, ' ' order by id) from milepost.quarantine"),
        "open"
    );
}

#[test]
fn nothing_is_said_of_a_stream_that_a_run_holds() {
    let mut things = Things::of(ALL);
    things.deliver(0, &[create(1, "a", 10)]);
    things.merged();
    let mut other = things.database.again();
    other.run("begin; select from milepost.streams for no key update");
    let run = things.accept("recreated", &YES);
    assert_eq!(run.code, i32::from(Outcome::Held.code()), "{run}");
    other.run("rollback");
    assert_eq!(things.accept("recreated", &YES).code, 0);
}

#[test]
fn a_topic_of_transactions_that_was_made_again_is_no_secret() {
    let spec = {
        let mut spec = shop::stream(ALL);
        let columns = [("id", "bigint"), ("word", "text?")];
        spec.datasets = vec![shop::dataset("things", ALL, &["id"], &columns)];
        spec.transactions = Some(TableRef {
            schema: "main_staging".parse().expect("it is a name"),
            name: "shop__control".parse().expect("it is a name"),
        });
        spec
    };
    let database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    let mut things = Things { database, spec };
    let end = |things: &mut Things, offset: i64, position: i64| {
        things.database.run(&format!(
            r#"insert into main_staging.shop__control (payload, __connect_topic, __connect_partition, __connect_offset)
               values ('{{"status":"END","id":"{position}:{}","event_count":1,"data_collections":[{{"data_collection":"shop.things","event_count":1}}],"ts_ms":1}}', 'tx', 0, {offset})
               on conflict (__connect_topic, __connect_partition, __connect_offset) do update set payload = excluded.payload"#,
            position + 5
        ));
    };
    things.deliver(0, &[create(1, "a", 10)]);
    end(&mut things, 0, 10);
    end(&mut things, 1, 10);
    assert_eq!(things.merged(), "1=a");
    // The whole Kafka is another.
    end(&mut things, 0, 20);
    things.is_refused(
        "topic `tx`, partition 0, of the transactions is not the one that was merged",
        "--transactions --topic tx --partition 0 --as recreated",
    );
    Job::new(things.database.url())
        .args([
            "topics",
            "accept",
            "--platform",
            "main",
            "--store",
            "shop",
            "--transactions",
        ])
        .args(["--as", "recreated", "--yes"])
        .args(T0.map(|word| if word == "t" { "tx" } else { word }))
        .succeed();
    assert_eq!(things.accept("recreated", &YES).code, 0);
    things.deliver(0, &[create(2, "b", 20)]);
    assert_eq!(things.merged(), "1=a", "its END is awaited");
    end(&mut things, 0, 20);
    assert_eq!(things.merged(), "1=a,2=b");
}

/// A source whose topic is made again now and then: whatever happens, what is live is what the source has.
#[test_case(ALL; "all versions")]
#[test_case(LAST; "last version per batch")]
#[test_case(Strategy::LiveOnly; "live only")]
fn topics_made_again_at_random_lose_nothing(strategy: Strategy) {
    let seed = crate::seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut things = Things::of(strategy);
    let mut truth: BTreeMap<i64, String> = BTreeMap::new();
    let mut topic: Vec<Message> = Vec::new();
    let mut position = 10;
    let mut merged = 0;
    let mut recreated = 0;
    let mut is_recognised = false;
    for step in 0..60 {
        let when = format!("MILEPOST_SEED={seed}, step {step}");
        let staged = topic.len();
        for _ in 0..rng.random_range(1..5) {
            position += 1;
            let id = rng.random_range(0..6);
            let word = format!("w{position}");
            let is_deleted = truth.contains_key(&id) && rng.random_bool(0.4);
            if is_deleted {
                truth.remove(&id);
            } else {
                truth.insert(id, word.clone());
            }
            topic.push(Message {
                op: if is_deleted { "d" } else { "u" },
                ..create(id, &word, position)
            });
        }
        if is_recognised && rng.random_bool(0.25) {
            recreated += 1;
            // What was not staged is lost with the topic; the new one begins with a snapshot, and may be shorter or longer.
            let marks = truth.iter().enumerate().map(|(n, row)| (n + 1, row));
            let last = truth.len();
            topic = marks
                .map(|(n, (id, word))| {
                    let mark = match n {
                        1 => "first",
                        n if n == last => "last",
                        _ => "true",
                    };
                    read(*id, word, position, mark)
                })
                .collect();
            if topic.len() < 2 {
                // A snapshot of one row or none says nothing of the others: the source is filled first.
                truth = (0..3).map(|id| (id, format!("n{position}"))).collect();
                topic = [(0, "first"), (1, "true"), (2, "last")]
                    .map(|(id, mark)| read(id, &truth[&id], position, mark))
                    .into();
            }
            things.deliver(0, &topic);
            let run = things.merge();
            assert_eq!(run.code, 1, "{when}: {run}");
            is_recognised = false;
            let run = things.accept("recreated", &YES);
            assert_eq!(run.code, 0, "{when}: {run}");
            things.deliver(0, &topic);
        } else {
            let from = i64::try_from(staged).expect("few messages");
            things.deliver(from, &topic[staged..]);
        }
        if rng.random_bool(0.7) {
            let live: Vec<String> = truth
                .iter()
                .map(|(id, word)| format!("{id}={word}"))
                .collect();
            assert_eq!(things.merged(), live.join(","), "{when}");
            merged += 1;
            is_recognised = true;
        }
    }
    assert!(merged > 0 && recreated > 0, "MILEPOST_SEED={seed}");
    Job::new(things.database.url())
        .args(["verify", "--platform", "main"])
        .succeed();
}
