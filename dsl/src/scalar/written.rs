//! How a scalar of ours stands in specs, written down once.

/// Lets a type with `FromStr` and `Display` stand in specs: written, described in JSON Schema and decoded as text.
///
/// The examples are two valid values; documentation shows them and the test of completeness swaps them.
macro_rules! text {
    ($type:ty, $title:literal, examples: [$($example:literal),+] $(, pattern: $pattern:literal)?) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "title": $title,
                    $("pattern": $pattern,)?
                    "examples": [$($example),+]
                })
            }
        }

        impl $crate::yaml::Decode for $type {
            fn decode(
                node: &$crate::yaml::Node,
                decoder: &mut $crate::yaml::Decoder<'_>,
            ) -> Option<Self> {
                decoder.text(node, $title)
            }
        }
    };
}

/// Lets an enumeration stand in specs as one word of a fixed list.
macro_rules! words {
    ($type:ident, $title:literal { $($variant:ident => $word:literal,)+ }) => {
        impl $type {
            /// Every variant.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word as it is written in a model.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "title": $title,
                    "enum": [$($word),+]
                })
            }
        }

        impl $crate::yaml::Decode for $type {
            fn decode(
                node: &$crate::yaml::Node,
                decoder: &mut $crate::yaml::Decoder<'_>,
            ) -> Option<Self> {
                let word = decoder.one_of(node, $title, &[$($word),+])?;
                Self::ALL.iter().copied().find(|variant| variant.as_str() == word)
            }
        }
    };
}

pub(crate) use {text, words};
