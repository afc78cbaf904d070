use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{LocationName, VendorName, text};

/// A place in the tree of vendors and locations: `aws/eu/stockholm`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocationPath {
    /// The vendor.
    pub vendor: VendorName,
    /// The locations from the vendor down; empty for the vendor itself.
    pub steps: Vec<LocationName>,
}

/// Why a text is no location.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "`{0}` is no location: write the vendor and its locations as `aws/eu/stockholm`, in lowercase \
     letters, digits and `-`"
)]
pub struct LocationError(String);

impl FromStr for LocationPath {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let error = || LocationError(text.to_owned());
        let mut words = text.split('/');
        let vendor = words
            .next()
            .unwrap_or_default()
            .parse()
            .map_err(|_| error())?;
        let steps = words
            .map(|step| step.parse().map_err(|_| error()))
            .collect::<Result<_, _>>()?;
        Ok(Self { vendor, steps })
    }
}

impl fmt::Display for LocationPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.vendor)?;
        self.steps.iter().try_for_each(|step| write!(f, "/{step}"))
    }
}

text!(LocationPath, "a location", examples: ["alpha/one", "beta/two"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_read_and_written() {
        let path: LocationPath = "aws/eu/stockholm".parse().unwrap();
        assert_eq!(path.vendor.as_str(), "aws");
        assert_eq!(path.to_string(), "aws/eu/stockholm");
        assert!("aws//stockholm".parse::<LocationPath>().is_err());
        assert!("/aws".parse::<LocationPath>().is_err());
    }
}
