//! The example's model with the addresses of what runs here, and a bank beside the shop.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use acceptance::Database;
use acceptance::stack::Stack;
use anyhow::{Context as _, Result, ensure};

/// The platform's name in the example.
pub(crate) const PLATFORM: &str = "main";

/// The tables of pgbench that have a key. Its accounts, tellers and branches change together: their sums are always equal.
const BANK: &str = include_str!("bank.yaml");

/// Writes the model into a folder that is made anew; returns its files by their paths.
pub(crate) fn write(
    folder: &Path,
    stack: &Stack,
    source: &Database,
    platform: &Database,
) -> Result<Vec<(String, String)>> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shop");
    let (source_port, platform_port) = (stack.source.port(), stack.platform.port());
    let mut files = Vec::new();
    for path in documents(&example)? {
        let name = path.strip_prefix(&example)?.to_string_lossy().into_owned();
        let mut text = fs::read_to_string(&path)?;
        match name.as_str() {
            "europe/sales/shop.yaml" => replace(
                &mut text,
                "{host: shop-db, port: 5432, database: shop,",
                &format!(
                    "{{host: 127.0.0.1, port: {source_port}, database: {},",
                    source.name()
                ),
            )?,
            "platforms/main/platform.yaml" => {
                let kafka = format!("\"{}\"", stack.kafka.address());
                replace(&mut text, "kafka-bootstrap:9092", &kafka)?;
                replace(&mut text, "http://connect:8083", &stack.connect.url())?;
                replace(
                    &mut text,
                    "host: warehouse-db\n      port: 5432\n      database: warehouse",
                    &format!(
                        "host: 127.0.0.1\n      port: {platform_port}\n      database: {}",
                        platform.name()
                    ),
                )?;
            }
            _ => {}
        }
        files.push((name, text));
    }
    let bank = BANK
        .replace("SOURCE_PORT", &source_port.to_string())
        .replace("SOURCE_DATABASE", source.name());
    files.push(("europe/sales/bank.yaml".to_owned(), bank));
    for (name, text) in &files {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().context("it has a folder")?)?;
        fs::write(file, text)?;
    }
    // Else it would be a part of the repository that this was built in.
    let made = Command::new("git")
        .args(["init", "--quiet"])
        .arg(folder)
        .status();
    ensure!(
        made.is_ok_and(|status| status.success()),
        "failed to run git"
    );
    Ok(files)
}

fn documents(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(documents(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Replaces a text that stands there once.
fn replace(text: &mut String, old: &str, new: &str) -> Result<()> {
    ensure!(
        text.matches(old).count() == 1,
        "the example no longer says `{old}`"
    );
    *text = text.replace(old, new);
    Ok(())
}
