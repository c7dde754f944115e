//! `stonewal drill --schedule`: text for systemd or cron that runs a command every week.

use std::path::Path;

use serde::Serialize;

use crate::postgres::server::shell_word;

/// Who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler {
    /// A service and a timer.
    Systemd,
    /// A line of a crontab.
    Cron,
}

/// Files to be put in place.
#[derive(Debug, Serialize)]
pub struct Units {
    /// In order.
    pub files: Vec<Unit>,
}

/// One of them.
#[derive(Debug, Serialize)]
pub struct Unit {
    /// Where it goes.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// Units for a drill with these arguments; an error says what cannot be written into one.
pub fn drill(scheduler: Scheduler, program: &Path, cluster: &str, words: &[String]) -> Result<Units, String> {
    let all = std::iter::once(program.display().to_string()).chain(words.iter().cloned());
    if let Some(bad) = all.clone().find(|word| word.chars().any(char::is_control)) {
        return Err(format!("{bad:?} cannot stand in a unit"));
    }
    let name = format!("stonewal-drill-{cluster}");
    let files = match scheduler {
        Scheduler::Cron => {
            let command: Vec<String> = all.map(|word| for_shell(&word)).collect();
            vec![Unit { path: format!("/etc/cron.d/{name}"), text: crontab(cluster, &command.join(" ")) }]
        }
        Scheduler::Systemd => {
            let command: Vec<String> = all.map(|word| for_systemd(&word)).collect();
            vec![
                Unit {
                    path: format!("/etc/systemd/system/{name}.service"),
                    text: service(cluster, &command.join(" ")),
                },
                Unit { path: format!("/etc/systemd/system/{name}.timer"), text: timer(cluster) },
            ]
        }
    };
    Ok(Units { files })
}

/// The guard and the server belong to the unit: systemd ends what a killed drill leaves. 3 tells warnings.
fn service(cluster: &str, command: &str) -> String {
    format!(
        "[Unit]
Description=Restore drill of PostgreSQL cluster {cluster}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
# BACKUP_PASSPHRASE=…, AWS_…=…; readable by root only. Or name files in /etc/stonewal/stonewal.toml.
EnvironmentFile=-/etc/stonewal/environment
Environment=STONEWAL_CLUSTER={cluster}
ExecStart={command}
SuccessExitStatus=3
# The drill ends in good order by itself; what is left after that is killed.
KillMode=mixed
TimeoutStopSec=60
Nice=10
IOSchedulingClass=idle
"
    )
}

fn timer(cluster: &str) -> String {
    format!(
        "[Unit]
Description=Weekly restore drill of PostgreSQL cluster {cluster}

[Timer]
OnCalendar=Sun *-*-* 04:00:00
RandomizedDelaySec=1h
Persistent=true

[Install]
WantedBy=timers.target
"
    )
}

/// cron knows no environment but this: the keys come from the configuration file. It takes `%` for a line break.
fn crontab(cluster: &str, command: &str) -> String {
    let command = command.replace('%', "\\%");
    format!(
        "# Restore drill of PostgreSQL cluster {cluster}, every Sunday at 04:00. Keys: keys.* in /etc/stonewal/stonewal.toml.
# What it prints is mailed to MAILTO; exit codes are in README.md.
MAILTO=root
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
STONEWAL_CLUSTER={cluster}
0 4 * * 0 root {command}
"
    )
}

fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:+,=@".contains(c))
}

/// One word of a line for `sh`.
fn for_shell(word: &str) -> String {
    if is_plain(word) { word.to_owned() } else { shell_word(word) }
}

/// One word of `ExecStart=` (systemd.service(5), "Command lines"): no variables, no specifiers.
fn for_systemd(word: &str) -> String {
    if is_plain(word) {
        return word.to_owned();
    }
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_their_scheduler() {
        let words = ["drill", "--sql", "a b's 100%$x.sql"].map(str::to_owned);
        let units = |scheduler| drill(scheduler, Path::new("/usr/bin/stonewal"), "main", &words).unwrap().files;
        let cron = &units(Scheduler::Cron)[0];
        let line = r"0 4 * * 0 root /usr/bin/stonewal drill --sql 'a b'\''s 100\%$x.sql'";
        assert!(cron.text.contains(line), "{}", cron.text);
        let systemd = units(Scheduler::Systemd);
        assert!(systemd[0].text.contains("ExecStart=/usr/bin/stonewal drill --sql \"a b's 100%%$$x.sql\"\n"));
        assert!(systemd[0].path.ends_with("stonewal-drill-main.service") && systemd[1].text.contains("OnCalendar="));
        assert!(drill(Scheduler::Cron, Path::new("/x"), "main", &["a\nb".into()]).is_err());
    }
}
