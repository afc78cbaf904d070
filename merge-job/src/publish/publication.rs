//! What the renderer wrote for a platform, read and checked before the database is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use milepost_job_spec::{Digest, PlatformPlan, StreamEntry, StreamKey, StreamSpec, TableRef};

use crate::error::Error;

/// The index of a platform.
const PLAN_FILE: &str = "platform.json";

/// A platform's plan with the specs of all its streams, each proved by its digest.
#[derive(Debug)]
pub struct Publication {
    /// The index.
    pub plan: PlatformPlan,
    /// The index as it was read.
    pub plan_text: String,
    /// The streams, in the order of the index.
    pub streams: Vec<PublishedStream>,
}

/// A stream of a publication.
#[derive(Debug)]
pub struct PublishedStream {
    /// What it says.
    pub spec: StreamSpec,
    /// The file's text.
    pub text: String,
    /// The file's digest.
    pub digest: Digest,
}

/// Reads the platform below `directory`, or one platform per folder of it, and checks all of them.
///
/// # Errors
/// [`Error::Read`], [`Error::Plan`] or [`Error::Spec`] for a file; [`Error::Publish`] if a plan is incomplete or
/// contradicts its files; [`Error::Usage`] if there is no plan.
pub fn read(directory: &Path) -> Result<Vec<Publication>, Error> {
    let mut files = Vec::new();
    if directory.join(PLAN_FILE).is_file() {
        files.push(directory.join(PLAN_FILE));
    } else {
        let unreadable = |source| Error::Read {
            path: directory.display().to_string(),
            source,
        };
        for entry in std::fs::read_dir(directory).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path().join(PLAN_FILE);
            if file.is_file() {
                files.push(file);
            }
        }
        files.sort();
    }
    if files.is_empty() {
        return Err(Error::Usage(format!(
            "`{}` holds no {PLAN_FILE}, nor does a folder in it; give the folder that `milepost render --out` wrote",
            directory.display()
        )));
    }
    files.iter().map(|file| read_platform(file)).collect()
}

fn read_platform(file: &Path) -> Result<Publication, Error> {
    let place = file.display().to_string();
    let plan_text = read_text(file)?;
    let plan = PlatformPlan::from_json(&plan_text).map_err(|source| Error::Plan {
        place: place.clone(),
        source,
    })?;
    if !is_name(&plan.platform) {
        return Err(Error::Publish(format!(
            "`{place}` names platform `{}`; a name has lowercase words with single hyphens between, at most 40 bytes",
            plan.platform
        )));
    }
    let directory = file.parent().unwrap_or_else(|| Path::new("."));
    let streams: Vec<PublishedStream> = plan
        .streams
        .iter()
        .map(|entry| read_stream(&plan, entry, directory))
        .collect::<Result<_, _>>()?;
    check_apart(&streams)?;
    Ok(Publication {
        plan,
        plan_text,
        streams,
    })
}

fn read_stream(
    plan: &PlatformPlan,
    entry: &StreamEntry,
    directory: &Path,
) -> Result<PublishedStream, Error> {
    let StreamEntry {
        stream,
        file,
        digest,
    } = entry;
    let relative = PathBuf::from(file);
    if !relative
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
    {
        return Err(Error::Publish(format!(
            "the plan of `{}` names file `{file}`, which is outside its folder",
            plan.platform
        )));
    }
    if stream.platform != plan.platform {
        return Err(Error::Publish(format!(
            "the plan of `{}` holds stream `{stream}` of another platform",
            plan.platform
        )));
    }
    let path = directory.join(relative);
    let text = read_text(&path)?;
    let found = Digest::of(text.as_bytes());
    if found != *digest {
        return Err(Error::Publish(format!(
            "`{}` has digest {found}, the plan says {digest}: the file was changed after rendering",
            path.display()
        )));
    }
    let spec = StreamSpec::from_json(&text).map_err(|source| Error::Spec {
        place: path.display().to_string(),
        source,
    })?;
    if spec.stream != *stream {
        return Err(Error::Publish(format!(
            "`{}` is the spec of stream `{}`, the plan says `{stream}`",
            path.display(),
            spec.stream
        )));
    }
    Ok(PublishedStream {
        spec,
        text,
        digest: found,
    })
}

fn read_text(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.display().to_string(),
        source,
    })
}

/// Two streams that write one table would each take the other's rows for a stranger's.
fn check_apart(streams: &[PublishedStream]) -> Result<(), Error> {
    let mut keys = BTreeSet::new();
    let mut owners: BTreeMap<&TableRef, &StreamKey> = BTreeMap::new();
    for PublishedStream { spec, .. } in streams {
        let stream = &spec.stream;
        if !keys.insert(stream) {
            return Err(Error::Publish(format!(
                "the plan has stream `{stream}` twice"
            )));
        }
        let tables = spec.datasets.iter().flat_map(|dataset| {
            [
                Some(&dataset.staging),
                Some(&dataset.merge),
                dataset.live.as_ref(),
                dataset.closed.as_ref(),
            ]
        });
        for table in tables.flatten().chain(&spec.transactions) {
            if let Some(owner) = owners.insert(table, stream) {
                return Err(Error::Publish(format!(
                    "the plan gives table `{table}` to stream `{owner}` and to stream `{stream}`"
                )));
            }
        }
    }
    Ok(())
}

/// Is this a name of the model language: `[a-z][a-z0-9]*(-[a-z0-9]+)*`, at most 40 bytes?
fn is_name(text: &str) -> bool {
    text.len() <= 40
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.split('-').all(|word| {
            !word.is_empty()
                && word
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_are_lowercase_words_with_single_hyphens() {
        for name in ["main", "main-2", "a-b-c", "a1"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-a", "a-", "a--b", "1a", "Main", "a_b", &"a".repeat(41)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
