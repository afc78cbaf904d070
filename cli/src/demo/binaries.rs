use std::path::PathBuf;

use tokio::process::Command;

use crate::failure::Failure;

/// What the merge job needs of the server: `unique nulls not distinct` came with it.
const OLDEST: u32 = 15;

/// The programs of one version of PostgreSQL.
pub(super) struct Binaries {
    pub(super) path: PathBuf,
    pub(super) version: u32,
}

impl Binaries {
    /// `MILEPOST_PGBIN`; else the newest of Debian's; else those of `pg_config` or of the path.
    pub(super) async fn find() -> Result<Self, Failure> {
        if let Some(chosen) = std::env::var_os("MILEPOST_PGBIN") {
            let path = PathBuf::from(chosen);
            let named = path.display().to_string();
            return Self::at(path).await.ok_or_else(|| {
                Failure::usage(format!(
                    "MILEPOST_PGBIN is `{named}`, which holds no PostgreSQL {OLDEST} or newer"
                ))
                .with_help("name a directory that holds `initdb` and `postgres`, or unset it")
            });
        }
        let installed = std::fs::read_dir("/usr/lib/postgresql");
        let debian = installed.into_iter().flatten().flatten();
        let mut found = Vec::new();
        for path in debian.map(|entry| entry.path().join("bin")) {
            found.extend(Self::at(path).await);
        }
        if let Some(newest) = found.into_iter().max_by_key(|binaries| binaries.version) {
            return Ok(newest);
        }
        if let Ok(output) = Command::new("pg_config").arg("--bindir").output().await {
            let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if let Some(configured) = Self::at(path.into()).await {
                return Ok(configured);
            }
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        for directory in std::env::split_paths(&path) {
            if let Some(on_path) = Self::at(directory).await {
                return Ok(on_path);
            }
        }
        Err(
            Failure::usage(format!("there is no PostgreSQL {OLDEST} or newer"))
                .with_help("`apt-get install postgresql`, or set MILEPOST_PGBIN to the directory with `initdb`"),
        )
    }

    /// The programs in a directory, if they are all there and new enough.
    async fn at(path: PathBuf) -> Option<Self> {
        if !path.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(path.join("postgres"))
            .arg("--version")
            .output();
        let said = String::from_utf8(output.await.ok()?.stdout).ok()?;
        let number = said.split_whitespace().find_map(|word| {
            let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        });
        let version = number.filter(|&version| version >= OLDEST)?;
        Some(Self { path, version })
    }
}
