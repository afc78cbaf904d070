use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{DatasetName, DatastoreName, NameError, SourceNameError, TeamName, ZoneName, text};

/// Why a text refers to nothing.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ReferenceError {
    /// No separator.
    #[error("`{0}` is no dataset: write the datastore and the dataset as `shop#customers`")]
    NoDataset(String),
    /// No separator.
    #[error("`{0}` is no team: write the zone and the team as `europe/sales`")]
    NoTeam(String),
    /// One of our names in it.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A name of the source in it.
    #[error(transparent)]
    SourceName(#[from] SourceNameError),
}

/// A team of a zone: `europe/sales`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TeamRef {
    /// The zone that declares it.
    pub zone: ZoneName,
    /// Its name there.
    pub team: TeamName,
}

impl FromStr for TeamRef {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (zone, team) = text
            .split_once('/')
            .ok_or_else(|| ReferenceError::NoTeam(text.to_owned()))?;
        Ok(Self {
            zone: zone.parse()?,
            team: team.parse()?,
        })
    }
}

impl fmt::Display for TeamRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.zone, self.team)
    }
}

text!(TeamRef, "a team", examples: ["alpha/one", "beta/two"]);

/// A dataset of a datastore: `shop#customers`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatasetRef {
    /// The datastore.
    pub store: DatastoreName,
    /// The dataset in it.
    pub dataset: DatasetName,
}

impl FromStr for DatasetRef {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        // Our names hold no `#`; the source's may, so the first one separates.
        let (store, dataset) = text
            .split_once('#')
            .ok_or_else(|| ReferenceError::NoDataset(text.to_owned()))?;
        Ok(Self {
            store: store.parse()?,
            dataset: dataset.parse()?,
        })
    }
}

impl fmt::Display for DatasetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.store, self.dataset)
    }
}

text!(DatasetRef, "a dataset", examples: ["alpha#one", "beta#two"]);

/// A batch stream: `shop` (a multi-dataset store) or `shop#customers`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamRef {
    /// The datastore.
    pub store: DatastoreName,
    /// The dataset; none for the whole store.
    pub dataset: Option<DatasetName>,
}

impl FromStr for StreamRef {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (store, dataset) = match text.split_once('#') {
            Some((store, dataset)) => (store, Some(dataset.parse()?)),
            None => (text, None),
        };
        Ok(Self {
            store: store.parse()?,
            dataset,
        })
    }
}

impl fmt::Display for StreamRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.store)?;
        self.dataset
            .as_ref()
            .map_or(Ok(()), |dataset| write!(f, "#{dataset}"))
    }
}

text!(StreamRef, "a batch stream", examples: ["alpha", "beta#two"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_and_written() {
        for text in ["shop#customers", "shop#My Table#2"] {
            assert_eq!(text.parse::<DatasetRef>().unwrap().to_string(), text);
        }
        for text in ["shop", "shop#customers"] {
            assert_eq!(text.parse::<StreamRef>().unwrap().to_string(), text);
        }
        assert_eq!(
            "europe/sales".parse::<TeamRef>().unwrap().to_string(),
            "europe/sales"
        );
    }

    #[test]
    fn a_reference_without_its_separator_says_how_to_write_it() {
        let message = "shop".parse::<DatasetRef>().unwrap_err().to_string();
        assert!(message.contains("`shop#customers`"), "{message}");
        let message = "sales".parse::<TeamRef>().unwrap_err().to_string();
        assert!(message.contains("`europe/sales`"), "{message}");
    }
}
