//! The page of synthetic facts: as it was written down, harmless whatever stands in it, and bounded.

use super::samples::{HOSTILE, cluster, outcome};
use super::*;
use crate::commands::parts::evidence::{CheckResult, Evidence, EvidenceResult};
use crate::commands::parts::{Finding, FindingKind, Findings, Kind, Verified};
use crate::commands::report::LockState;
use crate::commands::status::Health;

/// Compares with what was written down; the style has its own test, in a browser.
fn golden(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/page").join(name);
    let text = text.replace(STYLE, "");
    #[expect(clippy::disallowed_methods, reason = "a switch of this test, no setting of the program")]
    if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let written = std::fs::read_to_string(&path).unwrap();
    for (number, (was, is)) in (1..).zip(written.lines().zip(text.lines())) {
        assert_eq!(is, was, "{name}:{number}; UPDATE_TRANSCRIPTS=1 writes down what is");
    }
    assert_eq!(text.lines().count(), written.lines().count(), "{name}");
}

type Change<'a> = &'a dyn Fn(&mut ClusterReport);

#[test]
fn the_same_facts_make_the_same_page() {
    let facts = outcome(vec![cluster("main", Health::Yellow), cluster("billing", Health::Green)]);
    golden("sample.html", &html(&facts));
    golden("sample.md", &markdown(&facts));
}

#[test]
fn nothing_is_loaded_run_or_sent() {
    let page = html(&outcome(vec![cluster("main", Health::Red)]));
    assert!(page.contains("default-src 'none'"));
    let without_style = page.replace(STYLE, "");
    for word in ["<script", "<link", "<iframe", "<object", "http://", "https://", "@import", "url(http", " on", "src="]
    {
        let told = without_style.matches(word).filter(|_| word != " on").count();
        assert_eq!(told, 0, "{word}");
    }
    assert!(!STYLE.contains("http") && !STYLE.contains("@import") && !STYLE.contains("@font-face"));
}

/// Every element that is opened is closed, in order.
#[track_caller]
fn well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1) {
        let (inside, _) = tag.split_once('>').expect("a tag ends");
        let name = inside.split([' ', '/']).find(|part| !part.is_empty()).unwrap_or_default();
        if inside.starts_with('!') || matches!(name, "meta" | "br") || inside.ends_with('/') {
            continue;
        }
        if inside.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}> closes something else");
        } else {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

#[test]
fn hostile_text_stays_text() {
    let mut hostile = cluster("main", Health::Red);
    hostile.no_plan = Some(HOSTILE.into());
    for reason in &mut hostile.reasons {
        (reason.text, reason.hint) = (HOSTILE.into(), HOSTILE.into());
    }
    for row in &mut hostile.backups {
        (row.server_version, row.writer) = (HOSTILE.replace(' ', "_"), HOSTILE.into());
        row.why = vec![HOSTILE.into()];
        row.whole = Verified::No(HOSTILE.into());
    }
    for drill in &mut hostile.drills {
        (drill.host, drill.error, drill.release) = (HOSTILE.into(), Some(HOSTILE.into()), Some(HOSTILE.into()));
        drill.phases[0].name = HOSTILE.into();
        drill.checks[0].detail = HOSTILE.into();
        drill.checks[0].status = CheckResult::Fail;
    }
    hostile.locks.unlocked = Some(HOSTILE.into());
    if let Some(end) = &mut hostile.locks.soonest {
        end.key = HOSTILE.into();
    }
    let mut facts = outcome(vec![hostile]);
    facts.location = HOSTILE.into();
    facts.findings.push(Finding::new(FindingKind::ForgedWal, HOSTILE, None, HOSTILE));
    let page = html(&facts);
    well_formed(&page);
    for word in ["<script", "<img", "onerror=\"", "\u{202E}", "\u{0}"] {
        assert!(!page.contains(word), "{word:?}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    let text = markdown(&facts);
    for word in ["<script", "<img", "x](javascript", "\u{202E}", "\n# y", "**`["] {
        assert!(!text.contains(word), "{word:?}");
    }
    let widths: Vec<usize> = text
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.replace("\\|", "").matches('|').count())
        .collect();
    assert!(widths.iter().all(|width| [7, 10].contains(width)), "a cell broke its table: {widths:?}");
}

#[test]
fn an_empty_repository_and_an_empty_cluster_have_pages_too() {
    let mut facts = outcome(Vec::new());
    facts.findings = Findings::default();
    let page = html(&facts);
    well_formed(&page);
    assert!(page.contains("Nothing has been backed up") && page.contains("Nothing lies in the repository"));
    assert!(markdown(&facts).contains("No clusters"));

    let mut empty = cluster("main", Health::Red);
    (empty.backups, empty.wal, empty.restorable, empty.window) = (Vec::new(), Vec::new(), Vec::new(), None);
    empty.drills = Vec::new();
    facts.clusters = vec![empty];
    let page = html(&facts);
    well_formed(&page);
    assert!(page.contains("No restore has been tried out"));
    assert!(page.contains("Neither a backup nor WAL is stored") && page.contains("not possible"));
}

#[test]
fn a_page_stays_small_whatever_there_is() {
    let mut large = cluster("main", Health::Yellow);
    let (row, line) = (large.backups[0].clone(), large.wal[0].clone());
    large.backups = vec![row; 20_000];
    large.wal = vec![line; 3_000];
    large.drills = vec![large.drills[0].clone(); 10_000];
    let period = large.restorable[0];
    large.restorable = vec![period; 100_000];
    let mut facts = outcome(vec![large]);
    for number in 0..5_000 {
        facts.findings.push(Finding::new(FindingKind::ForgedWal, format!("x{number}"), None, "y".repeat(100)));
    }
    let (page, text) = (html(&facts), markdown(&facts));
    assert!(page.len() < 3 << 20, "{} bytes", page.len());
    assert!(text.len() < 1 << 18, "{} bytes", text.len());
    assert!(page.contains("and 19940 backups before") && text.contains("and 19940 backups before"));
}

#[test]
fn a_table_for_a_document_on_disaster_recovery() {
    let mut never = cluster("billing", Health::Red);
    never.drills = Vec::new();
    let text = dr(&outcome(vec![cluster("main", Health::Green), never]));
    let rows: Vec<&str> = text.lines().collect();
    assert!(rows[2].starts_with("| main | 30 min | 11 min 22 s | 36 min 47 s | 15 min |"), "{text}");
    assert!(rows[2].contains("✓ passed"), "{text}");
    assert!(rows[3].contains("| billing | – |") && rows[3].contains("never drilled"), "{text}");
}

/// Nothing new is asked of old backups that were imported, and that is said.
#[test]
fn an_archive_is_called_one() {
    let mut old = cluster("main-old", Health::Green);
    (old.archive, old.window, old.drills) = (true, None, Vec::new());
    let mut facts = outcome(vec![old.clone()]);
    assert!(html(&facts).contains("leads anywhere") && markdown(&facts).contains("leads anywhere"));
    old.backups.retain(|row| row.kind == Kind::Dump);
    facts.clusters = vec![old];
    let (page, text) = (html(&facts), markdown(&facts));
    well_formed(&page);
    for told in [&page, &text, &dr(&facts)] {
        assert!(told.contains("archive of imported backups"), "{told}");
        assert!(!told.contains("leads anywhere") && !told.contains("never drilled"), "{told}");
        assert!(!told.contains("No restore has been tried out") && !told.contains("Last drill:"), "{told}");
    }
}

#[test]
fn dates_below_a_few_bars_have_room() {
    let mut facts = outcome(vec![cluster("main", Health::Green)]);
    for drills in 2..=8 {
        facts.clusters[0].drills.truncate(10 - drills);
        let page = html(&facts);
        let dates =
            page.lines().filter(|line| line.starts_with("<text class=\"tick\"") && line.contains("y=\"224.0\""));
        let at = |line: &str| line.split('"').nth(3).unwrap().parse::<f64>().unwrap();
        let at: Vec<f64> = dates.map(at).collect();
        assert!(!at.is_empty(), "{drills}");
        let close = at.windows(2).find(|pair| pair[1] > pair[0] && pair[1] - pair[0] < 54.0);
        assert!(close.is_none(), "{close:?} of {at:?}");
    }
}

#[test]
fn pages_are_well_formed() {
    for health in [Health::Green, Health::Yellow, Health::Red] {
        well_formed(&html(&outcome(vec![cluster("a", health), cluster("b", health)])));
    }
}

/// A headline is never better than what is below it.
#[test]
fn nothing_is_well_beside_a_drill_that_failed_a_lock_that_ended_or_an_open_point() {
    let at = super::samples::now();
    let verdict = |change: &dyn Fn(&mut ClusterReport)| {
        let mut facts = outcome(vec![cluster("main", Health::Green)]);
        facts.clusters[0].checklist.iter_mut().for_each(|point| point.ticked = true);
        change(&mut facts.clusters[0]);
        (html(&facts), markdown(&facts))
    };
    let (page, text) = verdict(&|_| {});
    assert!(page.contains("will stay so") && text.contains("main: all is well"));
    let needed = |cluster: &mut ClusterReport| {
        let row = cluster.backups.iter_mut().find(|row| row.lock == LockState::EndsSoon).unwrap();
        row.locked_until = Some(at);
    };
    let open = |cluster: &mut ClusterReport| {
        cluster.checklist[0].ticked = false;
        cluster.checklist[1].ticked = false;
    };
    let failed = |cluster: &mut ClusterReport| {
        let drill = &mut cluster.drills[0];
        (drill.result, drill.rto_milliseconds, drill.rpo_milliseconds) = (EvidenceResult::Error, None, None);
    };
    let cases: [(Change<'_>, &str); 3] = [
        (&needed, "which is needed, has ended"),
        (&open, "open on the checklist: encrypted, wal-window"),
        (&failed, "the newest drill was not carried out"),
    ];
    for (change, words) in cases {
        let (page, text) = verdict(change);
        assert!(page.contains(words) && !page.contains("will stay so"), "{words}");
        assert!(text.contains("main: needs attention") && !text.contains("()"), "{text}");
    }
    let (page, text) = verdict(&needed);
    assert!(
        page.contains("<dt>A needed lock</dt><dd><strong>ended 0 s ago") && text.contains("- A needed lock: **ended")
    );
}

/// It proves that the replica restores, and is told as what it is.
#[test]
fn a_drill_of_a_replica_is_no_drill_of_the_repository() {
    let mut facts = outcome(vec![cluster("main", Health::Green)]);
    let drills = &mut facts.clusters[0].drills;
    drills.truncate(2);
    drills[0].checks[0].name = Evidence::READ_FROM.into();
    drills[0].checks[0].detail = "replica far alone".into();
    let ids = [0, 1].map(|number: usize| drills[number].backup.as_ref().unwrap().id.to_string());
    assert!(html(&facts).contains("replica far alone") && markdown(&facts).contains("(replica far alone)"));
    assert!(!dr(&facts).contains(&ids[0]) && dr(&facts).contains(&ids[1]), "{ids:?}");
    facts.clusters[0].drills.truncate(1);
    assert!(dr(&facts).contains("never drilled") && markdown(&facts).contains("- Last drill: **never**"));
}

/// A drill of a backup by lot has no RPO, whatever its objective: it is in no column of them.
#[test]
fn a_drill_without_rpo_is_not_the_worst_one() {
    let mut facts = outcome(vec![cluster("main", Health::Green)]);
    let drills = &mut facts.clusters[0].drills;
    drills.truncate(2);
    (drills[0].requested_at, drills[0].rpo_milliseconds) = (None, None);
    drills[1].rpo_milliseconds = Some(7_000);
    let table = dr::dr(&facts);
    let row: Vec<&str> = table.lines().nth(2).unwrap().split('|').map(str::trim).collect();
    assert_eq!((row[5], row[6], row[7]), (drills::fine(900_000).as_str(), "\u{2013}", "7.0 s"), "{table}");
}
