//! The same model gives the same bytes, however its files are read.

use milepost_dsl::Sources;
use milepost_render::render;
use proptest::prelude::*;

use crate::project;

/// Every document of the models as a file of its own: as many orders as there can be.
fn documents() -> Vec<(String, String)> {
    let files = project::files("tests/projects/two-platforms");
    let mut documents = Vec::new();
    for (path, text) in files {
        for (number, document) in text.split("\n---\n").enumerate() {
            documents.push((format!("{number:02}-{path}"), document.to_owned()));
        }
    }
    documents
}

fn bytes(files: &[(String, String)]) -> Vec<(String, String)> {
    let sources: Sources = files.iter().cloned().collect();
    project::plans(&sources)
        .iter()
        .flat_map(|plan| render(plan).expect("the templates are sound"))
        .map(|(path, text)| (path.to_string(), text))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_order_and_the_names_of_files_change_nothing(
        shuffled in Just(documents()).prop_shuffle(),
        renamed in Just(documents()).prop_shuffle(),
    ) {
        let expected = bytes(&documents());
        prop_assert_eq!(&bytes(&shuffled), &expected);
        // The same texts under each other's paths.
        let swapped: Vec<(String, String)> = shuffled
            .iter()
            .zip(&renamed)
            .map(|((_, text), (path, _))| (path.clone(), text.clone()))
            .collect();
        prop_assert_eq!(&bytes(&swapped), &expected);
    }
}
