use std::collections::BTreeMap;
use std::num::NonZeroU64;

use crate::Spanned;
use crate::scalar::{
    EcosystemName, Line, LocationName, PlatformName, Repository, VendorName, ZoneName,
};
use crate::yaml::record;

record! {
    /// `kind: Ecosystem`: the whole; declares zones and platforms and the repositories that define them.
    pub struct EcosystemSpec {
        /// The ecosystem's name.
        pub name: Spanned<EcosystemName>,
        /// The version of the language in which the model is written: 1.
        pub language: Spanned<NonZeroU64>,
        /// Who may change this document.
        pub repository: Spanned<Repository>,
        /// What platforms run from; never an owner.
        pub live: Spanned<Repository>,
        /// Vendors of locations.
        pub vendors: Option<BTreeMap<Spanned<VendorName>, VendorSpec>>,
        /// Governance zones and the repositories that define them.
        pub zones: Option<BTreeMap<Spanned<ZoneName>, Spanned<Repository>>>,
        /// Platforms and the repositories that define them.
        pub platforms: Option<BTreeMap<Spanned<PlatformName>, Spanned<Repository>>>,
    }
}

record! {
    /// A vendor of locations, such as a cloud.
    pub struct VendorSpec {
        /// What people should know of it.
        pub documentation: Option<Spanned<Line>>,
        /// Its locations.
        pub locations: Option<BTreeMap<Spanned<LocationName>, LocationSpec>>,
    }
}

record! {
    /// A location and those in it.
    pub struct LocationSpec {
        /// What people should know of it.
        pub documentation: Option<Spanned<Line>>,
        /// Locations in it.
        pub locations: Option<BTreeMap<Spanned<LocationName>, LocationSpec>>,
    }
}
