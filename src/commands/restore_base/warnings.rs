//! What does not hinder a restore and may hinder what comes after it.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use super::Target;
use super::owner::Owner;
use super::recovery::WalSource;
use crate::format::manifest::BaseFacts;

/// Everything worth saying; nothing here fails a restore.
pub(super) async fn of(
    facts: &BaseFacts,
    target: &Target,
    (wal, archives): (WalSource, bool),
    owner: Owner,
) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    found.extend(settings_elsewhere(facts));
    found.extend(synchronous(facts));
    found.extend(archiving(facts).filter(|_| archives));
    found.extend(other_server(facts, target).await);
    found.extend(other_libc(facts).await);
    if wal == WalSource::Repository && owner.is_another() && !has_keys(target) {
        found.push(
            "the store's credentials did not come from variables: the user that PostgreSQL runs as must find them too, or recovery stops at the first segment"
                .into(),
        );
    }
    found
}

fn setting<'f>(facts: &'f BaseFacts, name: &str) -> Option<&'f str> {
    let found = facts.settings.iter().find(|setting| setting.name == name)?;
    Some(found.value.as_str()).filter(|value| !value.is_empty())
}

/// As Debian keeps them in /etc.
fn settings_elsewhere(facts: &BaseFacts) -> Option<String> {
    let data = setting(facts, "data_directory")?;
    let outside = ["config_file", "hba_file", "ident_file"].iter().filter_map(|name| setting(facts, name));
    let outside: Vec<&str> = outside.filter(|file| !Path::new(file).starts_with(data)).collect();
    (!outside.is_empty()).then(|| {
        format!("the source kept {} outside of its data directory, so they are not in the backup: put them in place before you start PostgreSQL", outside.join(", "))
    })
}

fn synchronous(facts: &BaseFacts) -> Option<String> {
    let names = setting(facts, "synchronous_standby_names")?;
    Some(format!(
        "synchronous_standby_names is {names:?}: once promoted, every COMMIT waits for such a standby; empty it unless one will be there"
    ))
}

/// Whoever archives last is the newest timeline, which is what `latest` means.
fn archiving(facts: &BaseFacts) -> Option<String> {
    let mode = setting(facts, "archive_mode").filter(|mode| *mode != "off")?;
    Some(format!(
        "archive_mode is {mode}: once promoted, the cluster archives a new timeline to where its source did, and \"latest\" means that one; restore a rehearsal with --no-archive"
    ))
}

async fn other_server(facts: &BaseFacts, target: &Target) -> Option<String> {
    let major = facts.server_version_num / 10_000;
    match target.programs.find("postgres", 0, "").await {
        Ok(program) if program.major == major => None,
        Ok(program) => {
            let needs = target.programs.find("postgres", major, "").await.ok().filter(|program| program.major == major);
            needs.is_none().then(|| {
                format!(
                    "the backup is of PostgreSQL {major}; found here is {} ({})",
                    program.version,
                    program.path.display()
                )
            })
        }
        Err(_) => Some(format!("PostgreSQL {major} was not found on this host; the restored cluster needs it")),
    }
}

/// The C library sorts, and its versions sort differently: indexes on text would be wrong (PAINS B13).
async fn other_libc(facts: &BaseFacts) -> Option<String> {
    let of_libc = facts.databases.iter().filter(|database| database.provider == "c");
    let versions = of_libc.filter_map(|database| Some((database.database.as_str(), database.version.as_deref()?)));
    let mut versions = versions.peekable();
    versions.peek()?;
    let asked = Command::new("getconf").arg("GNU_LIBC_VERSION").kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(5), asked).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let here = text.trim().strip_prefix("glibc ")?;
    // Each was made, and may have been rebuilt, at its own time.
    let (database, then) = versions.find(|(_, then)| *then != here)?;
    Some(format!(
        "database {database} was sorted by glibc {then}, this host has glibc {here}: rebuild indexes on text (REINDEX, then ALTER DATABASE … REFRESH COLLATION VERSION)"
    ))
}

fn has_keys(target: &Target) -> bool {
    target.aws.iter().any(|(name, _)| name == "AWS_ACCESS_KEY_ID")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::manifest::CollationFact;

    fn database(name: &str, provider: &str, version: Option<&str>) -> CollationFact {
        CollationFact {
            database: name.into(),
            collate: "de_DE.UTF-8".into(),
            provider: provider.into(),
            version: version.map(str::to_owned),
        }
    }

    fn sorted_by(provider: &str, version: Option<&str>) -> BaseFacts {
        BaseFacts {
            label: "test".into(),
            server_version_num: 150_000,
            standby: false,
            settings: Vec::new(),
            databases: vec![database("books", provider, version)],
            tablespaces: Vec::new(),
            index: Vec::new(),
            imported: None,
        }
    }

    /// PAINS B13.
    #[tokio::test]
    async fn b13_another_c_library_than_the_one_that_sorted_is_told() {
        let warning = other_libc(&sorted_by("c", Some("2.0"))).await.unwrap();
        assert!(warning.contains("database books was sorted by glibc 2.0"), "{warning}");
        assert!(warning.contains("REINDEX"), "{warning}");
        let here = warning.split("this host has glibc ").nth(1).and_then(|rest| rest.split(':').next()).unwrap();
        assert_eq!(other_libc(&sorted_by("c", Some(here))).await, None);
        let mut several = sorted_by("c", Some(here));
        several.databases.push(database("stock", "c", Some("2.0")));
        let warning = other_libc(&several).await.expect("one that agrees hides none that does not");
        assert!(warning.contains("database stock was sorted by glibc 2.0"), "{warning}");
        assert_eq!(other_libc(&sorted_by("c", None)).await, None);
        assert_eq!(other_libc(&sorted_by("i", Some("2.0"))).await, None, "ICU has versions of its own");
    }
}
