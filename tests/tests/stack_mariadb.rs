//! A MariaDB as the source: what it commits arrives whole and in order, although Kafka Connect is killed inside a transaction.

use std::time::{Duration, Instant};

use acceptance::stack::{ConnectSettings, MariaDb, Pipeline, READER, Stack};

/// How long changes may travel on a busy machine.
const ARRIVAL: Duration = Duration::from_secs(60);
/// Rows of each of the two tables in the transaction inside which the worker is killed.
const LARGE: usize = 8000;

const TABLES: &str = "
create database shop character set utf8mb4;
create table shop.orders (id bigint primary key, status varchar(40), total decimal(14,4), placed_at datetime(6),
    paid tinyint(1), units bigint unsigned, span time(6), prefs json);
create table shop.order_lines (order_id bigint, line_no int, sku text, primary key (order_id, line_no));
insert into shop.orders values (1, 'first', 1.5, '2026-01-02 03:04:05.678901', 1, 18446744073709551615, '-838:59:59.999999', '{\"a\": 1}');
insert into shop.order_lines values (1, 1, 'first');

-- Numbers that are no boolean, read from the table.
create table shop.answers (id bigint primary key, answer tinyint(1));
insert into shop.answers values (1, 0), (2, 1), (3, 2), (4, null);
-- Nobody asked for it.
create table shop.Orders (id bigint primary key, status varchar(40));
insert into shop.Orders values (1, 'other');

create table shop.audit (n bigint auto_increment primary key, id bigint, image text);
";

/// Every version of an order from now on, in the order of the one client that changes them; none after a delete.
const AUDIT: &str = "
insert into shop.audit (id, image) select id, concat_ws('|', status, total, placed_at) from shop.orders;
create trigger shop.inserted after insert on shop.orders for each row
    insert into shop.audit (id, image) values (new.id, concat_ws('|', new.status, new.total, new.placed_at));
create trigger shop.deleted after delete on shop.orders for each row insert into shop.audit (id, image) values (old.id, null);
delimiter //
create trigger shop.updated after update on shop.orders for each row begin
    if old.id <> new.id then insert into shop.audit (id, image) values (old.id, null); end if;
    insert into shop.audit (id, image) values (new.id, concat_ws('|', new.status, new.total, new.placed_at));
end //
delimiter ;
";

const MODEL: &str = r#"
kind: Datastore
name: shop
team: europe/sales
ingestion:
  cdc:
    source: {mariadb: {host: 127.0.0.1, port: $PORT, database: shop, locations: [aws/eu/stockholm]}}
    credential: {name: shop-reader, type: username-password}
    consistency: multi-dataset
datasets:
  - name: orders
    key: [id]
    columns:
      - {name: id, type: bigint}
      - {name: status, type: varchar(40), nullable: true}
      - {name: total, type: "decimal(14,4)", nullable: true}
      - {name: placed_at, type: timestamp(6), nullable: true}
      - {name: paid, type: boolean, nullable: true}
      - {name: units, type: decimal(20), nullable: true}
      - {name: span, type: interval, nullable: true}
      - {name: prefs, type: json, nullable: true}
  - name: order_lines
    key: [order_id, line_no]
    columns:
      - {name: order_id, type: bigint}
      - {name: line_no, type: integer}
      - {name: sku, type: text, nullable: true}
  - name: answers
    key: [id]
    columns:
      - {name: id, type: bigint}
      - {name: answer, type: boolean, nullable: true}
---
kind: Workspace
name: risk
team: europe/sales
groups:
  - name: exposure
    retention: {milestoned: {minimum: 365d}}
    latency: 5m
    sinks: [shop#orders, shop#order_lines, shop#answers]
---
kind: Assignment
platform: $PLATFORM
workspace: risk
group: exposure
"#;

/// Many small changes of a few rows, in every form that gives events of its own.
fn changes(source: &MariaDb) {
    let mut script = "use shop;\n".to_owned();
    for round in 2..60 {
        script += &format!(
            "begin; insert into orders (id, status, total) values ({round}, 'new', {round}) on duplicate key update total = total + 1;
             update orders set status = 'round {round}', paid = not paid where id in (1, {round} div 2);
             insert into order_lines values ({round}, 1, 'a'), ({round}, 2, 'b'), ({round}, 3, 'c'); commit;\n"
        );
        script += &match round % 5 {
            0 => format!("update orders set id = {round} + 1000 where id = {round};\n"),
            1 => format!(
                "begin; delete from orders where id = {round}; insert into orders (id, status) values ({round}, 'again'); commit;\n"
            ),
            2 => format!(
                "delete from orders where id = {round} - 1; update order_lines set line_no = line_no + 10 where order_id = {round};\n"
            ),
            3 => "begin; update orders set status = 'undone'; rollback; flush binary logs;\n"
                .to_owned(),
            _ => format!(
                "replace into orders (id, status, span) values ({round}, 'replaced', '{round}:00:00');\n"
            ),
        };
    }
    source.run(&script).expect("the source changes");
}

/// What tells that everything before it has arrived: END of a transaction with a row of each table comes last.
fn wait_for_mark(source: &MariaDb, pipeline: &mut Pipeline<'_>, mark: i64) {
    source
        .run(&format!(
            "begin; insert into shop.orders (id, status) values ({mark}, 'mark'); insert into shop.order_lines values ({mark}, 1, 'mark'); commit"
        ))
        .expect("the source marks");
    let staging = format!("{}_staging", pipeline.name);
    let arrived = format!(
        "select exists (select from {staging}.shop__orders where id = {mark})
            and exists (select from {staging}.shop__order_lines where order_id = {mark})
            and exists (select from {staging}.shop__control c join {staging}.shop__orders o on o.id = {mark}
                         where c.payload like '%\"END\"%' and c.payload like '%\"' || o.__transaction_id || '\"%')"
    );
    pipeline
        .wait_for(&arrived, "t", ARRIVAL)
        .expect("the mark arrives");
}

/// Merged rows as text, and the source's in the same form.
fn compare(source: &MariaDb, pipeline: &mut Pipeline<'_>) {
    let name = pipeline.name.clone();
    for (table, merged, at_source) in [
        (
            "orders",
            "concat_ws('|', id, coalesce(status, '-'), coalesce(total::text, '-'), coalesce(to_char(placed_at, 'YYYY-MM-DD HH24:MI:SS.US'), '-'),
                       coalesce(paid::integer::text, '-'), coalesce(units::text, '-'),
                       coalesce((extract(epoch from span) * 1000000)::bigint::text, '-'), coalesce(prefs::text, '-')) order by id",
            "concat_ws('|', id, coalesce(status, '-'), coalesce(total, '-'), coalesce(placed_at, '-'),
                       coalesce(paid, '-'), coalesce(units, '-'),
                       coalesce(cast(timestampdiff(microsecond, '2026-01-01', timestampadd(microsecond, time_to_sec(span) * 1000000, '2026-01-01')) as char), '-'),
                       coalesce(prefs, '-')) order by id separator '\\n'",
        ),
        (
            "order_lines",
            "concat_ws('|', order_id, line_no, sku) order by order_id, line_no",
            "concat_ws('|', order_id, line_no, sku) order by order_id, line_no separator '\\n'",
        ),
    ] {
        let merged = pipeline.platform.value(&format!(
            "select string_agg({}, e'\\n' order by {}) from {name}.shop__{table} where dp_out is null",
            merged.rsplit_once(" order by ").expect("it is ordered").0,
            merged.rsplit_once(" order by ").expect("it is ordered").1,
        ));
        let expected = source
            .run(&format!(
                "set group_concat_max_len = 100000000; select group_concat({at_source}) from shop.{table}"
            ))
            .expect("the source answers");
        let expected = expected.trim_end().replace("\\n", "\n");
        let first = merged.lines().zip(expected.lines()).find(|(own, other)| own != other);
        assert_eq!(first, None, "{table}: the first row that differs (merged, source)");
        assert_eq!(merged.lines().count(), expected.lines().count(), "rows of {table}");
    }
}

/// Every version that the triggers saw is in the history, in order, and no other.
fn history_is_what_triggers_saw(source: &MariaDb, pipeline: &mut Pipeline<'_>) {
    let seen = source
        .run("select id, ifnull(image, 'deleted') from shop.audit order by id, n")
        .expect("the source answers");
    let mut expected: Vec<String> = seen.lines().map(|line| line.replace('\t', " ")).collect();
    // What changed nothing of a row is no version.
    expected.dedup();
    let name = &pipeline.name;
    let versions = pipeline.platform.rows(&format!(
        "select id || ' ' || concat_ws('|', status, total, to_char(placed_at, 'YYYY-MM-DD HH24:MI:SS.US')), dp_out is null or
                dp_out = lead(dp_in) over (partition by id order by dp_in) as followed, id
           from {name}.shop__orders order by id, dp_in"
    ));
    let mut found = Vec::new();
    for version in versions {
        let [Some(text), followed, Some(id)] = version.as_slice() else {
            panic!("a version without a key: {version:?}");
        };
        // Values that the triggers do not write may change alone.
        if found.last() != Some(text) {
            found.push(text.clone());
        }
        if followed.as_deref() != Some("t") {
            found.push(format!("{id} deleted"));
        }
    }
    let first = found
        .iter()
        .zip(&expected)
        .find(|(own, other)| own != other);
    assert_eq!(
        first, None,
        "the first version that differs (merged, source)"
    );
    assert_eq!(found.len(), expected.len(), "versions");
}

/// A `tinyint(1)` arrives as the number that it is: 0 and 1 are merged as false and true, other numbers are put aside.
fn only_0_and_1_are_booleans(pipeline: &mut Pipeline<'_>) {
    let name = pipeline.name.clone();
    let mut list = |sql: String| pipeline.platform.value(&sql);
    let staged = list(format!(
        "select string_agg(coalesce(answer, '-'), ' ' order by id) from {name}_staging.shop__answers"
    ));
    assert_eq!(staged, "0 1 2 - -1 0 1 127");
    let live = list(format!(
        "select string_agg(id || coalesce(answer::text, '-'), ' ' order by id) from {name}.shop__answers where dp_out is null"
    ));
    assert_eq!(live, "1false 2true 4- 6false 7true");
    let aside = list(
        "select string_agg(dataset || ' ' || (key->>'id') || ' ' || (payload->>'answer'), ', ' order by id) from milepost.quarantine".to_owned(),
    );
    assert_eq!(aside, "answers 3 2, answers 5 -1, answers 8 127");
}

#[test]
fn what_a_mariadb_commits_arrives_whole_although_connect_is_killed_inside_a_transaction() {
    let mut settings = ConnectSettings::default();
    // Offsets are stored often, so that redelivery begins inside the transaction.
    let interval = ("offset.flush.interval.ms".to_owned(), "100".to_owned());
    settings.settings.extend([interval]);
    let stack = Stack::start(settings).expect("the stack starts");
    let source = MariaDb::start(&[]).expect("MariaDB starts");
    source.run(TABLES).expect("tables are made");
    source.run(AUDIT).expect("triggers are made");
    let mut pipeline = Pipeline::new(&stack);
    let model = MODEL.replace("$PORT", &source.port().to_string());
    pipeline.model(&model).expect("the model is sound");

    let prepare = std::fs::read_to_string(pipeline.folder().join("sources/shop/prepare.sql"))
        .expect("it is rendered");
    // As a MySQL would answer that compresses transactions; a MariaDB has no such variable and does not read the comment.
    let asked = "/*!80020 + @@global.binlog_transaction_compression */";
    assert!(prepare.contains(asked), "{prepare}");
    let refused = source
        .run(&prepare.replace(asked, "+ 1"))
        .expect_err("it compresses");
    assert!(
        refused
            .to_string()
            .contains("TURN OFF binlog_transaction_compression"),
        "{refused}"
    );
    source
        .run("set global binlog_legacy_event_pos = OFF")
        .expect("it is what 11.4 does by default");
    let refused = source.run(&prepare).expect_err("rows have no positions");
    assert!(
        refused
            .to_string()
            .contains("TURN ON binlog_legacy_event_pos"),
        "{refused}"
    );
    source
        .run("set global binlog_legacy_event_pos = ON")
        .expect("the remedy");
    source
        .run(&format!(
            "set @reader = '''{}''@''%''';\n{prepare}",
            READER.0
        ))
        .expect("the source is prepared");
    pipeline.publish().expect("the plan is published");
    pipeline.apply().expect("connectors run");
    let snapshot = format!(
        "select count(*) from {}_staging.shop__orders where __snapshot is not null",
        pipeline.name
    );
    pipeline
        .wait_for(&snapshot, "1", ARRIVAL)
        .expect("the snapshot arrives");

    changes(&source);
    source
        .run(
            "insert into shop.answers values (5, -1), (6, 0), (7, 1), (8, 127);
             begin; insert into shop.Orders values (2, 'other'); update shop.orders set status = 'seen' where id = 1; commit",
        )
        .expect("the source changes");
    wait_for_mark(&source, &mut pipeline, 100_001);
    pipeline.merge().expect("changes are merged");
    compare(&source, &mut pipeline);

    // A transaction of many events of many rows, in both tables.
    source
        .run(&format!(
            "use shop; begin;
             insert into shop.orders (id, status) select seq + 200000, 'large' from seq_1_to_{LARGE};
             insert into shop.order_lines select seq + 200000, 1, 'large' from seq_1_to_{LARGE};
             update shop.orders set status = 'end of large' where id = 200001; commit"
        ))
        .expect("the source changes");
    let large = format!(
        "select count(*) from {}_staging.shop__orders where id > 200000",
        pipeline.name
    );
    let begin = Instant::now();
    while pipeline.platform.value(&large) == "0" {
        assert!(
            begin.elapsed() < ARRIVAL,
            "nothing of the transaction arrives"
        );
    }
    stack.connect.kill();
    let arrived: usize = pipeline.platform.value(&large).parse().expect("a count");
    assert!(
        (1..=LARGE).contains(&arrived),
        "killed inside the transaction, after {arrived} rows"
    );
    // What arrived is a part of a transaction, so nothing of it is merged.
    pipeline
        .merge()
        .expect("a part of a transaction is waited for");
    let merged = format!(
        "select count(*) from {}.shop__orders where id > 200000",
        pipeline.name
    );
    assert_eq!(pipeline.platform.value(&merged), "0");

    stack.connect.start().expect("the worker starts again");
    wait_for_mark(&source, &mut pipeline, 300_001);
    pipeline.merge().expect("changes are merged");
    compare(&source, &mut pipeline);
    history_is_what_triggers_saw(&source, &mut pipeline);
    let batches = "select string_agg(distinct status || ' ' || alignment, ', ') from milepost.batches where status <> 'failed'";
    assert!(pipeline.platform.value(batches).contains("succeeded exact"));
    only_0_and_1_are_booleans(&mut pipeline);
    let others = format!(
        "select count(*) filter (where payload like '%shop.orders%') > 0, count(*) filter (where payload like '%shop.Orders%')
           from {}_staging.shop__control",
        pipeline.name
    );
    let others = pipeline.platform.rows(&others);
    assert_eq!(others, [["t", "0"].map(|text| Some(text.to_owned()))]);
}
