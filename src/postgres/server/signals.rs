//! Ending a server: politely, fast, and as a crash does.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{START_PATIENCE, Server};
use crate::postgres::{Error, Result};

/// How to stop (docs 19.5, "Shutting Down the Server").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Waits for its sessions to end by themselves.
    Smart,
    /// Ends its sessions and leaves the cluster clean.
    Fast,
    /// Leaves at once; the next start recovers from the WAL.
    Immediate,
}

impl Server {
    /// Fast shutdown: sessions are ended, the cluster is left clean.
    pub async fn stop(mut self) -> Result<()> {
        self.shut_down(Stop::Fast).await
    }

    /// Stops it in this way; [`restart`](Server::restart) brings it back. One that has ended stays so.
    pub async fn shut_down(&mut self, how: Stop) -> Result<()> {
        self.signal(match how {
            Stop::Smart => Signal::TERM,
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
        });
        let ended = tokio::time::timeout(Duration::from_mins(1), self.child.wait()).await;
        match ended {
            Ok(Ok(status)) if status.success() || how == Stop::Immediate => Ok(()),
            Ok(Ok(status)) => Err(self.failed(format!("it ended badly ({status}){}", self.log.tail()))),
            _ => Err(self.failed(format!("it does not stop{}", self.log.tail()))),
        }
    }

    /// SIGKILL to the postmaster and everything below it, commands it runs included, as if the host had crashed (what
    /// the operating system holds survives, though). Returns when all are gone.
    pub async fn kill(&mut self) -> Result<()> {
        let Some(postmaster) = self.pid() else { return Ok(()) };
        // Stopped first, so that it starts no more children while we count them.
        self.signal(Signal::STOP);
        let below = descendants(postmaster);
        for pid in &below {
            let _ = kill_process(*pid, Signal::KILL);
        }
        self.signal(Signal::KILL);
        self.child.wait().await.map_err(|e| self.failed(format!("wait for its end: {e}")))?;
        for _ in 0..500 {
            if !below.iter().any(|pid| parent_of(*pid).is_some()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(self.failed("its children do not end".into()))
    }

    /// Starts it again on its port, after it was stopped, killed or ended by itself; stops it first if it runs. Does
    /// not wait for more than the start of the process.
    pub async fn restart(&mut self) -> Result<()> {
        if self.pid().is_some() && matches!(self.child.try_wait(), Ok(None)) {
            self.shut_down(Stop::Fast).await?;
        }
        (self.child, self.log, _) = self.launch.start(Some(self.port)).await?;
        Ok(())
    }

    /// Reads `postgresql.conf` and `pg_hba.conf` again. The server notices a moment later.
    pub fn reload(&self) {
        self.signal(Signal::HUP);
    }

    /// Ends its recovery (`pg_promote`) and waits until it takes writes.
    pub async fn promote(&mut self) -> Result<()> {
        self.execute("postgres", "SELECT pg_catalog.pg_promote(false)").await?;
        self.wait_writable(START_PATIENCE).await
    }

    pub(super) fn signal(&self, signal: Signal) {
        // An error means that it has ended already.
        let _ = self.pid().map(|pid| kill_process(pid, signal));
    }

    fn pid(&self) -> Option<Pid> {
        self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
    }

    pub(super) fn failed(&self, what: String) -> Error {
        Error::Server { dir: self.launch.dir.clone(), what }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Immediate shutdown: the postmaster takes its children along, which SIGKILL would not make it do at once.
        self.signal(Signal::QUIT);
        for _ in 0..250 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.start_kill();
    }
}

/// Children and their children. PostgreSQL puts each of its processes into a session of its own, so that the process
/// group says nothing. Empty where there is no `/proc`: there they end by themselves when the postmaster is gone.
fn descendants(of: Pid) -> Vec<Pid> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    let parents: Vec<(Pid, Pid)> = pids.filter_map(|pid| Some((pid, parent_of(pid)?))).collect();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

/// The parent of a process that lives; a zombie does not (proc_pid_stat(5)).
fn parent_of(pid: Pid) -> Option<Pid> {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    parse_stat(&text)
}

/// The name in the second field may hold blanks and parentheses.
fn parse_stat(text: &str) -> Option<Pid> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    if matches!(state, "Z" | "X") { None } else { Pid::from_raw(parent) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_parent_whatever_the_name() {
        let pid = |text| parse_stat(text).map(|pid| pid.as_raw_nonzero().get());
        assert_eq!(pid("7 (postgres) S 5 7 7 0"), Some(5));
        assert_eq!(pid("7 (a) b) Z 1 (c) S 6 7 7 0"), Some(6));
        assert_eq!(pid("7 (postgres) Z 5 7 7 0"), None, "a zombie");
        assert_eq!(pid("junk"), None);
    }

    #[test]
    fn finds_grandchildren() {
        let script = "sleep 60 & echo $!; wait";
        let mut outer = std::process::Command::new("/bin/sh");
        let mut child = outer.args(["-c", script]).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
        let sleeper: i32 = line.trim().parse().unwrap();
        let found = descendants(rustix::process::getpid());
        let has = |id: i32| found.iter().any(|pid| pid.as_raw_nonzero().get() == id);
        let good = has(i32::try_from(child.id()).unwrap()) && has(sleeper);
        let _ = kill_process(Pid::from_raw(sleeper).unwrap(), Signal::KILL);
        child.wait().unwrap();
        assert!(good, "{found:?}");
    }
}
