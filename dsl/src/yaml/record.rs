/// Declares a struct that a person writes as a mapping: the one place where its keys, its equality, its JSON Schema
/// and its reading come from, so that none of them can forget a field.
///
/// `in "#"` says how the struct's name joins that of the outer object in the path of a finding.
macro_rules! record {
    (
        $(#[$meta:meta])*
        pub struct $name:ident $(in $joint:literal)? {
            $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, schemars::JsonSchema)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $name {
            /// The keys, as they are called in the struct.
            pub(crate) const FIELDS: &[&str] = &[$(stringify!($field)),*];

            /// Reads the entries of a mapping.
            pub(crate) fn decode_fields(
                fields: $crate::yaml::Fields<'_>,
                decoder: &mut $crate::yaml::Decoder<'_>,
            ) -> Option<Self> {
                // Every field is read, so that every problem is found, before the struct is given up.
                $(let $field = fields.get(decoder, stringify!($field));)*
                fields.leave(decoder);
                Some(Self { $($field: $field?,)* })
            }
        }

        impl $crate::yaml::Decode for $name {
            fn decode(
                node: &$crate::yaml::Node,
                decoder: &mut $crate::yaml::Decoder<'_>,
            ) -> Option<Self> {
                let joint: &[&str] = &[$($joint)?];
                let fields = decoder.fields(node, Self::FIELDS, joint.first().copied())?;
                Self::decode_fields(fields, decoder)
            }
        }
    };
}

/// Declares an enum that a person writes as a mapping of one key: an externally tagged choice.
macro_rules! choice {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident($type:ty) as $word:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, schemars::JsonSchema)]
        pub enum $name {
            $($(#[$variant_meta])* #[serde(rename = $word)] $variant($type),)+
        }

        impl $crate::yaml::Decode for $name {
            fn decode(
                node: &$crate::yaml::Node,
                decoder: &mut $crate::yaml::Decoder<'_>,
            ) -> Option<Self> {
                let (choice, node) = decoder.choice(node, &[$($word),+])?;
                match choice {
                    $($word => decoder.under(choice, node).map(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use {choice, record};
