//! What is rendered for a source's owner runs in psql, changes what it says, and changes nothing when it runs again.

use std::io::Write as _;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use acceptance::{Cluster, Database};
use milepost_job_spec::TableRef;
use milepost_platform::plan::{CapturedDataset, Plan, SourceDialect, SourceFiles};

use crate::hostile;

/// Names that a source may have; what no table can be called is refused by lint.
const NAMES: [&str; 8] = [
    "orders",
    "Orders",
    "q\"uo'te",
    "back\\slash",
    "new\nline; drop table orders; --",
    "${x} $1 :reader :'reader'",
    "select",
    "über 漢 \u{202e}😀",
];

fn table(name: &str) -> TableRef {
    TableRef {
        schema: "milepost".parse().expect("it is a name"),
        name: name.parse().expect("it is a name"),
    }
}

/// A server of sources.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(&[]).expect("PostgreSQL is installed"))
}

/// Captures these tables of a hostile schema with these columns.
fn files(tables: &[&str], columns: &str) -> SourceFiles {
    let schema = "s\"che.ma".to_owned();
    SourceFiles {
        folder: "sources/shop".to_owned(),
        platform: "main".to_owned(),
        store: "shop".to_owned(),
        dialect: SourceDialect::Postgres {
            publication: "main__shop".to_owned(),
        },
        signals: table("main__shop__signals"),
        captured: table("main__shop__captured"),
        heartbeat: table("main__shop__heartbeat"),
        captures: format!("{columns} of {tables:?}"),
        schemas: vec![schema.clone()],
        tables: tables
            .iter()
            .map(|&name| (schema.clone(), name.to_owned()))
            .collect(),
        datasets: tables
            .iter()
            .map(|&name| CapturedDataset {
                id: format!("id of {name}"),
                dataset: name.to_owned(),
                schema: schema.clone(),
                table: name.to_owned(),
                key: Vec::new(),
                columns: columns.to_owned(),
                request: (!name.contains('\n')).then(|| format!("request for {name}")),
                has_large_values: name.contains('\''),
            })
            .collect(),
    }
}

struct Source {
    database: Database,
    plan: Plan,
}

impl Source {
    fn new() -> Self {
        let mut database = cluster().empty_database();
        let name = database.name().to_owned();
        // The owner of the tables is no superuser.
        database.run(&format!(
            "create role owner_{name} login; grant create on database {name} to owner_{name}; set role owner_{name}"
        ));
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        database.run(&format!("create schema {}", quoted("s\"che.ma")));
        for name in NAMES {
            let table = format!("{}.{}", quoted("s\"che.ma"), quoted(name));
            database.run(&format!("create table {table} (id integer primary key)"));
        }
        database.run("reset role");
        let role = format!("\"Read \"\"er {}\"", database.name());
        database.run(&format!("create role {role}"));
        Self {
            database,
            plan: hostile::plan(),
        }
    }

    /// A connector with these settings runs: its heartbeat tells what it captures.
    fn beat(&mut self, files: &SourceFiles) {
        self.database.run(&format!(
            "update milepost.main__shop__heartbeat set beat_at = now(), captures = '{}'",
            files.captures.replace('\'', "''")
        ));
    }

    /// Runs a rendered file in psql; what it tells, or why it failed.
    fn psql(
        &mut self,
        file: &str,
        files: SourceFiles,
        arguments: &[&str],
    ) -> Result<String, String> {
        self.plan.sources = vec![files];
        let text = hostile::file(&format!("main/sources/shop/{file}"), &self.plan);
        let mut script =
            tempfile::NamedTempFile::new().expect("the temporary directory is writable");
        script.write_all(text.as_bytes()).expect("it is written");
        let owner = format!("owner_{}@", self.database.name());
        let output = cluster()
            .program("psql")
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(arguments)
            .arg("--file")
            .arg(script.path())
            .arg(self.database.url().replacen("postgres@", &owner, 1))
            .output()
            .expect("psql stands beside postgres");
        let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(told(&output.stdout))
        } else {
            Err(told(&output.stderr))
        }
    }

    fn prepare(&mut self, files: SourceFiles) -> String {
        let reader = format!("reader=Read \"er {}", self.database.name());
        self.psql("prepare.sql", files, &["--set", &reader])
            .expect("it runs")
    }

    fn snapshot(&mut self, files: SourceFiles) -> String {
        self.psql("snapshot.sql", files, &[]).expect("it runs")
    }

    /// Whose snapshot was asked for since the last answer.
    fn asked(&mut self) -> Vec<(String, String)> {
        let rows = self.database.rows(
            "with gone as (delete from milepost.main__shop__signals returning *)
             select id, data from gone where type = 'execute-snapshot' order by id",
        );
        let text = |value: &Option<String>| value.clone().expect("it is set");
        rows.iter()
            .map(|row| (text(&row[0]), text(&row[1])))
            .collect()
    }

    fn published(&mut self) -> Vec<String> {
        let rows = self.database.rows(
            "select tablename from pg_publication_tables where pubname = 'main__shop' order by 1",
        );
        rows.into_iter()
            .filter_map(|row| row.into_iter().next()?)
            .collect()
    }
}

fn ids(names: &[&str]) -> Vec<(String, String)> {
    let mut all: Vec<_> = names
        .iter()
        .map(|name| (format!("id of {name}"), format!("request for {name}")))
        .collect();
    all.sort();
    all
}

#[test]
fn a_source_is_prepared_once_and_asked_for_what_was_added() {
    let mut source = Source::new();
    let two = ["orders", "q\"uo'te"];
    let (narrow, wide) = (r#"["id"]"#, r#"["id","new"]"#);
    let own = ["main__shop__heartbeat", "main__shop__signals"];
    let mut published = own.to_vec();
    published.extend(two);
    source.prepare(files(&two, narrow));
    assert_eq!(source.published(), published);
    source.snapshot(files(&two, narrow));
    assert_eq!(source.asked(), [], "the first snapshot covers them");

    // Datasets are added.
    source.prepare(files(&NAMES, narrow));
    source.prepare(files(&NAMES, narrow));
    source.beat(&files(&NAMES, narrow));
    let mut published: Vec<&str> = own.into_iter().chain(NAMES).collect();
    published.sort_unstable();
    assert_eq!(source.published(), published);
    let told = source.snapshot(files(&NAMES, narrow));
    let (unnameable, nameable): (Vec<&str>, Vec<&str>) =
        NAMES.iter().partition(|name| name.contains('\n'));
    assert!(told.contains(unnameable[0]), "{told}");
    let mut added = nameable;
    added.retain(|name| !two.contains(name));
    assert_eq!(source.asked(), ids(&added));
    source.snapshot(files(&NAMES, narrow));
    assert_eq!(source.asked(), [], "it asks once");

    // A column more asks, one less does not, and one that comes back asks again.
    let mut change = |tables: &[&str], columns: &str| {
        source.prepare(files(tables, columns));
        source.beat(&files(tables, columns));
        source.snapshot(files(tables, columns));
        source.asked()
    };
    assert_eq!(change(&two, wide), ids(&two));
    assert_eq!(change(&two, narrow), []);
    assert_eq!(change(&two, wide), ids(&two));
    // So does a dataset that comes back, and one in place of all others.
    assert_eq!(change(&two[..1], wide), []);
    assert_eq!(change(&two, wide), ids(&two[1..]));
    assert_eq!(change(&["Orders"], wide), ids(&["Orders"]));
}

#[test]
fn a_connector_that_does_not_know_yet_is_not_asked() {
    let mut source = Source::new();
    source.prepare(files(&["orders"], r#"["id"]"#));
    source.beat(&files(&["orders"], r#"["id"]"#));
    source.snapshot(files(&["orders"], r#"["id"]"#));
    let two = ["orders", "select"];
    let told = source
        .psql("snapshot.sql", files(&two, r#"["id"]"#), &[])
        .expect_err("the source does not know what was added");
    assert!(
        told.contains("prepare.sql of this render was not run"),
        "{told}"
    );
    source.prepare(files(&two, r#"["id"]"#));
    thread::scope(|scope| {
        let mut again = Source {
            database: source.database.again(),
            plan: hostile::plan(),
        };
        let asked = scope.spawn(move || again.snapshot(files(&two, r#"["id"]"#)));
        thread::sleep(Duration::from_millis(500));
        // A connector as it was may connect anew, and beats.
        source.beat(&files(&["orders"], r#"["id"]"#));
        thread::sleep(Duration::from_millis(500));
        assert_eq!(source.asked(), [], "the connector is as it was");
        source.beat(&files(&two, r#"["id"]"#));
        let told = asked.join().expect("it runs once the connector is changed");
        assert_eq!(told.trim(), "select");
    });
    assert_eq!(source.asked(), ids(&["select"]));
}

#[test]
fn a_table_that_was_out_of_the_publication_is_read_again() {
    let mut source = Source::new();
    let two = ["orders", "select"];
    source.prepare(files(&two, r#"["id"]"#));
    source
        .database
        .run("alter publication main__shop drop table \"s\"\"che.ma\".\"select\"");
    source.prepare(files(&two, r#"["id"]"#));
    source.beat(&files(&two, r#"["id"]"#));
    source.snapshot(files(&two, r#"["id"]"#));
    assert_eq!(source.asked(), ids(&["select"]));
    source.prepare(files(&two, r#"["id"]"#));
    source.snapshot(files(&two, r#"["id"]"#));
    assert_eq!(source.asked(), [], "it is published");
}

#[test]
fn a_partitioned_table_is_published_under_its_own_name() {
    let mut source = Source::new();
    let parts = "create table \"s\"\"che.ma\".parts (id integer primary key) partition by range (id);
                 create table \"s\"\"che.ma\".part_of_parts partition of \"s\"\"che.ma\".parts default";
    let owner = format!(
        "set role owner_{}; {parts}; reset role",
        source.database.name()
    );
    source.database.run(&owner);
    let own = ["main__shop__heartbeat", "main__shop__signals", "parts"];
    // Made, and altered where it was made otherwise.
    source.prepare(files(&["parts"], r#"["id"]"#));
    assert_eq!(source.published(), own);
    source
        .database
        .run("alter publication main__shop set (publish_via_partition_root = false)");
    assert!(source.published().contains(&"part_of_parts".to_owned()));
    source.prepare(files(&["parts"], r#"["id"]"#));
    assert_eq!(source.published(), own);
}

#[test]
fn the_connectors_user_may_read_what_is_captured_and_no_more() {
    let mut source = Source::new();
    source.prepare(files(&NAMES[..3], r#"["id"]"#));
    let rights = format!(
        "select coalesce(string_agg(c.relname || ' ' || lower(a.privilege_type), ', ' order by c.relname collate \"C\"), '')
           from pg_class c cross join aclexplode(c.relacl) a
          where pg_get_userbyid(a.grantee) = 'Read \"er {}'",
        source.database.name()
    );
    assert_eq!(
        source.database.value(&rights),
        "Orders select, main__shop__captured select, main__shop__heartbeat update, main__shop__signals insert, orders select, q\"uo'te select"
    );
}

#[test]
fn the_owner_is_told_what_is_to_decide() {
    let mut source = Source::new();
    source
        .database
        .run("grant truncate on \"s\"\"che.ma\".orders to public");
    let told = source.prepare(files(&NAMES[..3], r#"["id"]"#));
    let identity = "alter table \"s\"\"che.ma\".\"q\"\"uo'te\" replica identity full;";
    let truncate = "revoke truncate on \"s\"\"che.ma\".orders from public;";
    assert!(told.contains(identity) && told.contains(truncate), "{told}");
    source.database.run(&format!("{identity} {truncate}"));
    let told = source.prepare(files(&NAMES[..3], r#"["id"]"#));
    assert!(
        !told.contains("alter") && !told.contains("revoke"),
        "{told}"
    );
}

#[test]
fn nothing_is_done_without_the_connectors_user() {
    let mut source = Source::new();
    let told = source
        .psql("prepare.sql", files(&NAMES, r#"["id"]"#), &[])
        .expect_err("it needs a user");
    assert!(told.contains("psql --set reader=NAME"), "{told}");
    assert_eq!(source.published(), Vec::<String>::new());
}
