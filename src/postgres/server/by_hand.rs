//! A server that was stopped and stays on the disk: scripts that start and stop it as it ran here.

use std::path::Path;

use super::Server;
use super::files::conninfo_value;
use super::launch::CLEAN;
use crate::postgres::users::User;

/// Seconds that a start by hand may take: after a crash it recovers first.
const PATIENCE_SECONDS: u32 = 3600;

/// Scripts for `sh`, and what the first one prints.
#[derive(Debug)]
pub struct ByHand {
    /// Starts it with the settings that it ran with, waits until it answers, and prints `connect`.
    pub start: String,
    /// Stops it and leaves the cluster clean.
    pub stop: String,
    /// Connection string of the superuser for this database, without a password.
    pub connect: String,
}

impl Server {
    /// How somebody else runs it once it has been stopped here. Variables that it was given are not in it.
    pub fn by_hand(&self, dbname: &str) -> ByHand {
        let launch = &self.launch;
        let word = |path: &Path| shell_word(&path.display().to_string());
        let words: Vec<String> =
            launch.arguments(self.port).iter().map(|argument| shell_word(&argument.to_string_lossy())).collect();
        let connect = self.connect_text(dbname);
        let run = format!(
            "set -eu\ncd {}\nenv -i {} {}{} --silent --wait --timeout={PATIENCE_SECONDS} --pgdata={}",
            word(&launch.dir),
            CLEAN.map(|(name, value)| format!("{name}={value}")).join(" "),
            launch.owner.as_ref().map(User::become_it).unwrap_or_default(),
            word(&launch.bin_dir.join("pg_ctl")),
            word(&launch.data_dir),
        );
        // pg_ctl hands its options to a shell of its own.
        let options = shell_word(&words.join(" "));
        // Not the one that was written for it here: that may be root's.
        let log = word(&launch.dir.join("by-hand.log"));
        ByHand {
            start: format!(
                "#!/bin/sh\n# Starts the server as it was started before; prints how to connect to it.\n{run} \
                 --log={log} \\\n  --options={options} start >&2\nprintf '%s\\n' {}\n",
                shell_word(&connect)
            ),
            stop: format!("#!/bin/sh\n# Stops the server.\n{run} --mode=fast stop >&2\n"),
            connect,
        }
    }

    fn connect_text(&self, dbname: &str) -> String {
        let options = self.session_options.as_deref();
        let options = options.map(|options| format!(" options={}", conninfo_value(options))).unwrap_or_default();
        let [dir, user, dbname] = [&self.launch.dir.display().to_string(), &self.user, dbname].map(conninfo_value);
        format!("host={dir} port={} user={user} dbname={dbname}{options}", self.port)
    }
}

/// One word for a shell.
pub fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
