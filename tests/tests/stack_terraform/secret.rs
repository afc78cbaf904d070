//! Passwords are in the environment of Kafka Connect's workers and nowhere else.

use std::path::Path;

use super::{ends, initialised, passwords, plan, published, stack};

/// How the passwords are written wherever they are meant.
const REFERENCES: [&str; 2] = [
    "${env:SHOP_READER_PASSWORD}",
    "${env:WAREHOUSE_WRITER_PASSWORD}",
];

#[test]
fn rendered_files_apply_as_they_are_and_hold_no_password() {
    let mut pipeline = published();
    let terraform = initialised(&pipeline, &stack().connect.url());
    ends(&terraform, 0, &["fmt", "-check", "-diff", "-recursive"]);
    ends(&terraform, 0, &["validate"]);
    ends(&terraform, 0, &["plan", "-out=plan.bin"]);
    let planned = ends(&terraform, 0, &["show", "-json", "plan.bin"]);
    ends(&terraform, 0, &["apply", "plan.bin"]);
    plan(&terraform, 0);

    // The passwords were used.
    pipeline.source.run("insert into orders values (1, 'new')");
    pipeline.quiet().expect("the row arrives");

    let rest = stack().connect.rest();
    let asked = rest
        .get("connectors?expand=info&expand=status")
        .expect("Connect answers");
    let mut places = vec![
        ("the plan".to_owned(), planned),
        ("Kafka Connect's answer".to_owned(), asked.to_string()),
    ];
    read(&pipeline.folder(), &mut places);
    read(terraform.path(), &mut places);
    for reference in REFERENCES {
        for place in ["the plan", "answer", "store_shop.tf", "terraform.tfstate"] {
            let text = places.iter().find(|(name, _)| name.ends_with(place));
            let (_, text) = text.expect("there is such a place");
            // In a file of Terraform a dollar is doubled.
            assert!(text.replace("$${", "${").contains(reference), "{place}");
        }
    }
    places.push(("Kafka Connect's log".to_owned(), stack().connect.log()));
    for (place, text) in &places {
        for password in passwords() {
            assert!(!text.contains(password), "a password is in {place}");
        }
    }
}

/// The text of every file below a folder; the provider is a link.
fn read(folder: &Path, places: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("it is a folder").flatten() {
        let path = entry.path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            read(&path, places);
        } else {
            let bytes = std::fs::read(&path).expect("it can be read");
            let text = String::from_utf8_lossy(&bytes).into_owned();
            places.push((path.display().to_string(), text));
        }
    }
}
