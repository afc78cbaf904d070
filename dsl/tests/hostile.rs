//! Text that nobody means well with: every finding has a place, and nothing panics, hangs or overflows.

use std::fmt::Write as _;

use milepost_dsl::{Diagnostic, Sources, check};

fn findings(text: &str) -> Vec<Diagnostic> {
    let sources: Sources = [("case.yaml", text)].into_iter().collect();
    let findings = check(&sources).diagnostics;
    for found in &findings {
        let span = found.primary.span;
        assert!(span.start <= span.end, "{found:?}");
        assert!(span.end <= text.len(), "{found:?} is outside of the file");
        assert!(
            text.is_char_boundary(span.start) && text.is_char_boundary(span.end),
            "{found:?}"
        );
        let place = sources.place(span);
        assert!(place.line >= 1 && place.column >= 1);
        assert!((place.line, place.column) <= (place.end_line, place.end_column));
    }
    findings
}

fn rules(text: &str) -> Vec<&'static str> {
    findings(text)
        .iter()
        .map(|found| found.rule.as_str())
        .collect()
}

const GOOD: &str = "kind: Ecosystem\nname: acme\nlanguage: 1\nrepository: github:a/b@eco\n\
                    live: github:a/b@main\nplatforms: {main: \"github:a/p@main\"}\n---\n\
                    kind: Platform\nname: main\nimplementation: {external: {}}\n";

#[test]
fn a_model_reads_the_same_with_a_byte_order_mark_or_other_line_ends() {
    assert_eq!(rules(GOOD), [] as [&str; 0]);
    assert_eq!(rules(&format!("\u{feff}{GOOD}")), [] as [&str; 0]);
    assert_eq!(rules(&GOOD.replace('\n', "\r\n")), [] as [&str; 0]);
    assert_eq!(rules(&format!("---\n{GOOD}---\n...\n")), [] as [&str; 0]);
}

#[test]
fn places_are_right_behind_a_byte_order_mark_and_other_line_ends() {
    let text = format!(
        "\u{feff}{}",
        GOOD.replace("name: acme", "name: Acme")
            .replace('\n', "\r\n")
    );
    let sources: Sources = [("case.yaml", text.as_str())].into_iter().collect();
    let findings = check(&sources).diagnostics;
    assert_eq!(findings.len(), 1, "{findings:?}");
    let span = findings[0].primary.span;
    assert_eq!(&text[span.start..span.end], "Acme");
    assert_eq!(sources.place(span).line, 2);
}

#[test]
fn a_nul_is_a_finding() {
    assert_eq!(rules("kind: Team\nname: a\0b/c\n"), ["syntax"]);
}

#[test]
fn aliases_are_refused_so_none_can_explode() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in ('b'..='z').zip('a'..) {
        let nine = vec![format!("*{before}"); 9].join(", ");
        let _ = writeln!(text, "{name}: &{name} [{nine}]");
    }
    let found = rules(&text);
    assert!(found.contains(&"shape"), "{found:?}");
    assert!(found.len() < 500);
}

#[test]
fn deep_nesting_ends_in_a_finding_and_not_in_the_stack() {
    for (open, close) in [
        ("[", "]"),
        ("{a: ", "}"),
        ("? ", ""),
        ("- ", ""),
        ("a:\n ", ""),
    ] {
        let text = format!(
            "kind: Team\nname: {}x{}\n",
            open.repeat(20_000),
            close.repeat(20_000)
        );
        assert!(rules(&text).contains(&"syntax"), "{open}");
    }
    let mut locations = "kind: Ecosystem\nvendors: {aws: ".to_owned();
    locations.push_str(&"{locations: {a: ".repeat(20_000));
    assert!(rules(&locations).contains(&"syntax"));
}

#[test]
fn long_words_are_shortened_in_messages() {
    let long = "x".repeat(1 << 20);
    for text in [
        format!("kind: {long}\n"),
        format!("kind: Team\n\"{long}\": x\n"),
        format!("kind: Team\nname: {long}\n"),
        format!("{GOOD}---\nkind: Assignment\nplatform: main\nworkspace: {long}\ngroup: x\n"),
        format!(
            "kind: Datastore\nname: till\ndatasets: [{{name: a, key: [], columns: [{{name: b, type: {long}}}]}}]\n"
        ),
    ] {
        for found in findings(&text) {
            assert!(found.message.len() < 3000, "{} bytes", found.message.len());
            assert!(found.help.is_none_or(|help| help.len() < 3000));
        }
    }
}

#[test]
fn nothing_at_all_is_a_finding() {
    for text in [
        "",
        "\n",
        "# only a comment\n",
        "---\n",
        "---\n---\n...\n",
        "~\n",
        "null\n",
    ] {
        let found = rules(text);
        assert!(!found.is_empty(), "{text:?}");
    }
    let none = check(&Sources::new());
    assert_eq!(none.diagnostics.len(), 1);
    assert!(none.model.is_none());
}

#[test]
fn cut_and_garbled_models_never_panic() {
    let model = include_str!("completeness.yaml");
    for cut in (0..model.len())
        .filter(|cut| model.is_char_boundary(*cut))
        .step_by(7)
    {
        findings(&model[..cut]);
    }
    // A fixed sequence of a linear congruential generator: the same garble on every run.
    let mut state = 42_u64;
    let mut next = |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % bound
    };
    const SIGNS: &[u8] = b"{}[]:,-#&*!|>'\"%@` \t\n\r\0?~=.x0";
    for _ in 0..400 {
        let mut text = model.as_bytes().to_vec();
        for _ in 0..=next(8) {
            let place = next(text.len());
            text[place] = SIGNS[next(SIGNS.len())];
        }
        findings(&String::from_utf8(text).unwrap());
    }
}
