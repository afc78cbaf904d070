use serde::{Deserialize, Serialize};

/// What is done where merging leaves a choice: `merge.md`, "What does not fit" and "Tables before rows".
///
/// The values of [`Default`] are those of a spec of version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatasetPolicy {
    /// What a truncate at the source does.
    pub truncate: OnTruncate,
    /// What a complete new snapshot does with live rows that it does not have.
    pub resnapshot: OnResnapshot,
    /// The most live rows, in percent, that a snapshot or an image may close because it does not have them; with more the
    /// batch is refused unless a person allows it.
    pub max_missing_percent: u8,
    /// Seconds for which closed versions are kept after their `dp_out`; none keeps them for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_seconds: Option<u64>,
}

/// What a truncate at the source does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnTruncate {
    /// What is before it is merged, then the stream stops until a person says what to do.
    #[default]
    Fail,
    /// It deletes every key that is live then.
    CloseAll,
    /// It changes nothing.
    Ignore,
}

/// What a complete new snapshot does with live rows that it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnResnapshot {
    /// They stay, and an event says how many they are.
    #[default]
    Report,
    /// They are closed.
    Heal,
}

impl DatasetPolicy {
    /// Is there nothing to say?
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for DatasetPolicy {
    fn default() -> Self {
        Self {
            truncate: OnTruncate::default(),
            resnapshot: OnResnapshot::default(),
            // An extract that is cut off loses more than ordinary days delete (T64).
            max_missing_percent: 10,
            history_seconds: None,
        }
    }
}
