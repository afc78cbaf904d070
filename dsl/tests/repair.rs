//! A base with errors can still be compared, judged and repaired, by its owners only.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use milepost_dsl::compare::{Ownership, Verdict, differences};
use milepost_dsl::scalar::Repository;
use milepost_dsl::spec::ModelSpec;
use milepost_dsl::{Sources, parse};

const MODEL: &str = include_str!("completeness.yaml");

fn spec(text: &str) -> ModelSpec {
    parse(&[("model.yaml", text)].into_iter().collect::<Sources>()).spec
}

fn verdicts(base: &str, head: &str, repository: &str) -> Vec<Verdict> {
    let (base, head) = (spec(base), spec(head));
    let ownership = Ownership::of(&base);
    let repository: Repository = repository.parse().unwrap();
    let found = differences(&base, &head);
    assert!(!found.is_empty());
    found
        .iter()
        .map(|difference| ownership.judge(difference, &repository))
        .collect()
}

#[test]
fn a_broken_datastore_is_repaired_by_its_team_and_seized_by_nobody() {
    let broken = MODEL.replace("type: integer", "type: integerr");
    assert_eq!(
        verdicts(&broken, MODEL, "github:acme/sales@main"),
        [Verdict::Allowed]
    );
    let seized = MODEL.replace(
        "name: shop\nteam: europe/sales",
        "name: shop\nteam: europe/support",
    );
    for repository in ["github:acme/support@main", "github:acme/sales@main"] {
        let verdicts = verdicts(&broken, &seized, repository);
        assert!(
            matches!(verdicts[0], Verdict::Refused { .. }),
            "{repository}"
        );
    }
}

#[test]
fn a_broken_datastore_without_a_team_is_kept_from_everybody() {
    let broken = MODEL.replace(
        "name: shop\nteam: europe/sales",
        "name: shop\nteamm: europe/sales",
    );
    assert_eq!(
        verdicts(&broken, MODEL, "github:acme/sales@main"),
        [Verdict::Unowned]
    );
}

#[test]
fn a_broken_ecosystem_is_repaired_by_the_repository_that_it_names() {
    let broken = MODEL.replace("language: 1", "language: one");
    assert_eq!(
        verdicts(&broken, MODEL, "github:acme/model@ecosystem"),
        [Verdict::Allowed]
    );
    let refused = verdicts(&broken, MODEL, "github:acme/model@europe");
    assert!(matches!(refused[0], Verdict::Refused { .. }));
}

#[test]
fn a_base_without_declarations_gives_nobody_anything() {
    let verdicts = verdicts("", MODEL, "github:acme/model@ecosystem");
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Unowned));
}

#[test]
fn a_second_document_of_a_name_is_found() {
    let twice = format!("{MODEL}---\nkind: Team\nname: europe/sales\n");
    let found = differences(&spec(MODEL), &spec(&twice));
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].name.as_str(), found[0].path.as_str()),
        ("europe/sales", "")
    );
}

#[test]
fn a_second_column_of_a_name_is_found() {
    let twice = MODEL.replace(
        "columns: [{name: id, type: integer}]",
        "columns: [{name: id, type: integer}, {name: id, type: text}]",
    );
    assert_eq!(differences(&spec(MODEL), &spec(&twice)).len(), 1);
}
