//! Users of this host, from /etc/passwd: the name libpq logs in with by default, and whom to run a server as.

use std::path::PathBuf;

/// One line of /etc/passwd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// Number.
    pub uid: u32,
    /// Number of its group.
    pub gid: u32,
    /// Home directory.
    pub home: PathBuf,
}

impl User {
    /// What is put before a command so that it runs as this user, in a shell of root: by number, as not every one has a name.
    pub fn become_it(&self) -> String {
        format!("setpriv --reuid={} --regid={} --clear-groups ", self.uid, self.gid)
    }
}

/// The user this process runs as, if the file knows it.
pub fn current() -> Option<User> {
    let uid = rustix::process::geteuid().as_raw();
    all().into_iter().find(|u| u.uid == uid)
}

/// The user with this name.
pub fn named(name: &str) -> Option<User> {
    all().into_iter().find(|u| u.name == name)
}

fn all() -> Vec<User> {
    parse(&std::fs::read_to_string("/etc/passwd").unwrap_or_default())
}

fn parse(text: &str) -> Vec<User> {
    let line = |line: &str| {
        let fields: Vec<_> = line.split(':').collect();
        Some(User {
            name: (*fields.first()?).to_owned(),
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
            home: PathBuf::from(fields.get(5)?),
        })
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines_and_skips_junk() {
        let users = parse("root:x:0:0:root:/root:/bin/sh\n# junk\n+nis\npg:x:7:8::/var/pg:/bin/sh\n");
        assert_eq!(users.len(), 2);
        assert_eq!(users[1], User { name: "pg".into(), uid: 7, gid: 8, home: "/var/pg".into() });
    }
}
