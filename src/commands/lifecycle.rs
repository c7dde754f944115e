//! Lifecycle rules: what would break the plan, what tidies up, and the one rule that does that and nothing else.

use std::time::Duration;

use serde::Serialize;

use super::doctor::Status;
use super::frozen::FROZEN;
use super::{Connected, Error, Immutability, Result};
use crate::limits::{LIFECYCLE_NONCURRENT_DAYS, LIFECYCLE_UPLOAD_DAYS};
use crate::store::{Expiry, LifecycleRule, TidyRule};

/// Id of our rule; below a prefix the prefix follows.
pub const RULE: &str = "stonewal-leftovers";

const DAY: Duration = Duration::from_hours(24);

/// One finding: status, what, and what to do.
pub(super) type Finding = (Status, String, &'static str);

/// What `init --lifecycle` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Installed {
    /// Whether the rule was set; otherwise the rules that were there do the same.
    pub changed: bool,
    /// Id of our rule.
    pub rule: String,
    /// It removes versions so many days after they were written over or hidden, never before their locks end; `None` = never,
    /// since nothing here is locked.
    pub noncurrent_days: Option<u32>,
    /// It removes unfinished uploads so many days after they began.
    pub upload_days: u32,
}

/// Installs our rule among those of others, unless they do all that it does. Refuses where another rule would break the
/// plan: what is safe is not made so by one more rule. `kept` is how long the plan keeps backups at least.
pub(super) async fn install(connected: &Connected, kept: Duration) -> Result<Installed> {
    let (prefix, immutability) = (connected.names.prefix(), connected.immutability());
    let rule = ours(prefix, immutability, kept);
    let found = connected.store.lifecycle().await?;
    let others: Vec<LifecycleRule> = found.iter().filter(|other| other.id != rule.id).cloned().collect();
    let harm: Vec<Finding> = judge(&others, prefix, immutability, kept);
    let mut harm = harm.into_iter().filter(|(status, ..)| *status >= Status::Warn).peekable();
    if let Some((.., remedy)) = harm.peek() {
        let remedy = format!("nothing was changed; {remedy}");
        let what = harm.map(|(_, what, _)| what).collect::<Vec<_>>().join("; ");
        return Err(Error::NotReady { what: format!("bucket {}: {what}", connected.store.bucket()), remedy });
    }
    let changed = !suffices(&found, &rule);
    if changed {
        connected.store.install(&rule).await?;
    }
    Ok(Installed { changed, rule: rule.id, noncurrent_days: rule.noncurrent_days, upload_days: rule.upload_days })
}

/// The rule. What an attacker has written over or hidden is what restores use: without a lock nothing may remove it, and
/// under locks nothing sooner than the plan, should a lock not have been lengthened in time (PAINS A8, E1, E3).
fn ours(prefix: &str, immutability: Immutability, kept: Duration) -> TidyRule {
    let kept_days = u32::try_from(kept.as_secs().div_ceil(DAY.as_secs())).unwrap_or(u32::MAX);
    let locked = matches!(immutability, Immutability::ObjectLock { .. });
    TidyRule {
        id: if prefix.is_empty() { RULE.to_owned() } else { format!("{RULE}:{prefix}") },
        prefix: prefix.to_owned(),
        noncurrent_days: locked.then_some(kept_days.max(LIFECYCLE_NONCURRENT_DAYS)),
        upload_days: LIFECYCLE_UPLOAD_DAYS,
    }
}

/// Whether the rules that are there do all of it, and none of it too soon.
fn suffices(found: &[LifecycleRule], rule: &TidyRule) -> bool {
    let whole = || found.iter().filter(|other| !other.tagged_only && rule.prefix.starts_with(&other.prefix));
    let versions = match rule.noncurrent_days {
        Some(days) => whole().any(|other| other.removes_noncurrent_days.is_some_and(|found| found >= days)),
        None => true,
    };
    let soon = found.iter().any(|other| other.id == rule.id && other.removes_noncurrent_days < rule.noncurrent_days);
    versions && !soon && whole().any(|other| other.removes_markers) && whole().any(|other| other.aborts_uploads)
}

/// Rules that would remove or freeze what a restore needs, and what such rules should do and do not (PAINS A8, B14, E1).
pub(super) fn judge(rules: &[LifecycleRule], prefix: &str, immutability: Immutability, kept: Duration) -> Vec<Finding> {
    let touches = |rule: &&LifecycleRule| {
        !rule.tagged_only && (rule.prefix.starts_with(prefix) || prefix.starts_with(&rule.prefix))
    };
    let rules: Vec<&LifecycleRule> = rules.iter().filter(touches).collect();
    let mut findings: Vec<Finding> = rules.iter().flat_map(|rule| harm(rule, immutability, kept)).collect();
    // Only a rule for the whole repository tidies all of it.
    let whole: Vec<_> = rules.iter().filter(|rule| prefix.starts_with(&rule.prefix)).collect();
    let tidies = [
        (whole.iter().any(|rule| rule.removes_noncurrent_days.is_some()), "noncurrent versions"),
        (whole.iter().any(|rule| rule.removes_markers || rule.expires.is_some()), "expired delete markers"),
        (whole.iter().any(|rule| rule.aborts_uploads), "unfinished uploads"),
    ];
    let untidy: Vec<&str> = tidies.iter().filter(|(done, _)| !done).map(|(_, what)| *what).collect();
    if findings.is_empty() && untidy.is_empty() {
        findings.push((Status::Ok, "tidies leftovers and touches no backup".into(), ""));
    } else if findings.is_empty() {
        let detail = format!("touches no backup; nothing removes {}", untidy.join(", "));
        findings.push((
            Status::Note,
            detail,
            "they are paid for until somebody does: `stonewal init --lifecycle` installs a rule that touches nothing else",
        ));
    }
    findings
}

fn harm(rule: &LifecycleRule, immutability: Immutability, kept: Duration) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = if rule.id.is_empty() { "a rule without id" } else { &rule.id };
    let locked = match immutability {
        Immutability::ObjectLock { retain, .. } => Some(retain),
        Immutability::None => None,
    };
    if let Some(expires) = rule.expires {
        let (when, after) = match expires {
            Expiry::Days(days) => (format!("after {days} days"), DAY.saturating_mul(days)),
            Expiry::On(date) => (format!("on {date}"), Duration::ZERO),
        };
        let (status, harm) = if locked.is_none_or(|locked| after < locked) {
            (Status::Fail, "sooner than their locks end".to_owned())
        } else if after < kept {
            let days = kept.as_secs() / DAY.as_secs();
            (Status::Fail, format!("and the retention plan keeps them for {days} days and more"))
        } else {
            (Status::Warn, "whether the plan keeps them or not".to_owned())
        };
        let detail = format!("rule {name} expires current objects {when}, {harm}");
        findings.push((
            status,
            detail,
            "remove Expiration from the rule: what goes, and when, is for the retention plan",
        ));
    }
    match (rule.removes_noncurrent_days, locked) {
        (Some(days), None) => {
            let detail = format!("rule {name} removes overwritten versions after {days} days, and no lock holds them");
            findings.push((Status::Warn, detail, "an overwritten backup is lost then: lock the objects"));
        }
        (Some(days), Some(_)) if DAY.saturating_mul(days) < kept => {
            let kept = kept.as_secs().div_ceil(DAY.as_secs());
            let detail = format!(
                "rule {name} removes versions {days} days after they were overwritten or hidden; the retention plan keeps them for {kept} days and more, and then only locks hold them"
            );
            findings.push((Status::Warn, detail, "set its NoncurrentDays to what the plan keeps, or more"));
        }
        _ => {}
    }
    let frozen: Vec<&str> = rule.moves_to.iter().map(String::as_str).filter(|class| FROZEN.contains(class)).collect();
    if !frozen.is_empty() {
        let detail =
            format!("rule {name} moves objects to {}, which must be thawed before a restore", frozen.join(", "));
        findings.push((
            Status::Warn,
            detail,
            "restores stop at such objects, for hours: use GLACIER_IR or STANDARD_IA",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::LockMode;

    const LOCKED: Immutability =
        Immutability::ObjectLock { mode: LockMode::Governance, retain: Duration::from_hours(24 * 30) };

    fn worst(rule: LifecycleRule, immutability: Immutability) -> Status {
        judge(&[rule], "prod/", immutability, 60 * DAY).into_iter().map(|(status, ..)| status).max().unwrap()
    }

    #[test]
    fn rules_that_would_break_the_plan_are_told() {
        let expires = |expiry| LifecycleRule { expires: Some(expiry), ..LifecycleRule::default() };
        let at = |prefix: &str| LifecycleRule { prefix: prefix.into(), ..expires(Expiry::Days(1)) };
        let moves = |class: &str| LifecycleRule { moves_to: vec![class.into()], ..LifecycleRule::default() };
        let tagged = LifecycleRule { tagged_only: true, ..expires(Expiry::Days(1)) };
        let removes = |days| LifecycleRule { removes_noncurrent_days: Some(days), ..LifecycleRule::default() };
        for (rule, locked, unlocked) in [
            (LifecycleRule::default(), Status::Note, Status::Note),
            (expires(Expiry::Days(29)), Status::Fail, Status::Fail),
            (expires(Expiry::Days(59)), Status::Fail, Status::Fail), // beyond the locks, within the plan
            (expires(Expiry::Days(60)), Status::Warn, Status::Fail),
            (expires(Expiry::On("2030-01-01T00:00:00Z".parse().unwrap())), Status::Fail, Status::Fail),
            (at("prod/wal/"), Status::Fail, Status::Fail),
            (at("pro"), Status::Fail, Status::Fail),
            (at("test/"), Status::Note, Status::Note),
            (tagged, Status::Note, Status::Note),
            (moves("DEEP_ARCHIVE"), Status::Warn, Status::Warn),
            (moves("GLACIER"), Status::Warn, Status::Warn),
            (moves("GLACIER_IR"), Status::Note, Status::Note),
            (removes(59), Status::Warn, Status::Warn), // sooner than the plan
            (removes(60), Status::Note, Status::Warn),
        ] {
            assert_eq!(worst(rule.clone(), LOCKED), locked, "{rule:?}");
            assert_eq!(worst(rule.clone(), Immutability::None), unlocked, "{rule:?}");
        }
    }

    /// PAINS E1, E3.
    #[test]
    fn what_nothing_tidies_is_named() {
        let detail = |rules: &[LifecycleRule]| judge(rules, "prod/", LOCKED, 60 * DAY).remove(0).1;
        let all = LifecycleRule {
            removes_noncurrent_days: Some(90),
            removes_markers: true,
            aborts_uploads: true,
            ..LifecycleRule::default()
        };
        assert_eq!(detail(std::slice::from_ref(&all)), "tidies leftovers and touches no backup");
        let none = "touches no backup; nothing removes noncurrent versions, expired delete markers, unfinished uploads";
        assert_eq!(detail(&[]), none);
        assert_eq!(detail(&[LifecycleRule { prefix: "prod/wal/".into(), ..all.clone() }]), none, "a part only");
        let some = LifecycleRule { removes_markers: false, ..all };
        assert_eq!(detail(&[some]), "touches no backup; nothing removes expired delete markers");
    }

    /// PAINS A8: whatever the policy, our rule never removes what the plan keeps, and needs nothing further.
    #[test]
    fn our_own_rule_is_safe_and_suffices() {
        for kept in [DAY, 60 * DAY, 3660 * DAY, Duration::from_hours(30)] {
            for (immutability, prefix) in [(LOCKED, "prod/"), (LOCKED, ""), (Immutability::None, "prod/")] {
                let rule = ours(prefix, immutability, kept);
                let set = LifecycleRule {
                    id: rule.id.clone(),
                    prefix: rule.prefix.clone(),
                    removes_noncurrent_days: rule.noncurrent_days,
                    removes_markers: true,
                    aborts_uploads: true,
                    ..LifecycleRule::default()
                };
                let found = judge(std::slice::from_ref(&set), prefix, immutability, kept);
                assert!(found.iter().all(|(status, ..)| *status <= Status::Note), "{found:?}");
                assert!(suffices(std::slice::from_ref(&set), &rule));
                let longer = ours(prefix, immutability, 4000 * DAY);
                assert_eq!(
                    suffices(&[set], &longer),
                    immutability == Immutability::None,
                    "the plan keeps for longer now"
                );
            }
        }
    }
}
