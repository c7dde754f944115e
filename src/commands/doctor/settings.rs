//! What the bucket does by itself and whom it stops: lifecycle rules that would break the plan, and the bucket policy.

use std::time::Duration;

use serde_json::Value;

use super::{Outcome, Status};
use crate::commands::{Connected, Error, Immutability};
use crate::store::{self, Expiry, LifecycleRule};

const DAY: Duration = Duration::from_hours(24);

/// Storage classes whose objects must be restored before they can be read (API GetObject, `InvalidObjectState`).
const FROZEN: [&str; 2] = ["DEEP_ARCHIVE", "GLACIER"];

/// One finding of a pure check.
type Finding = (Status, String, &'static str);

pub(super) async fn check(connected: &Connected, immutability: Immutability, kept: Duration, outcome: &mut Outcome) {
    match connected.store.lifecycle().await {
        Ok(rules) => report("lifecycle", lifecycle(&rules, connected.names.prefix(), immutability, kept), outcome),
        Err(error) => unreadable("lifecycle", error, outcome),
    }
    match connected.store.bucket_policy().await {
        Ok(found) => report("bucket policy", policy(found.as_deref()), outcome),
        Err(error) => unreadable("bucket policy", error, outcome),
    }
}

fn report(name: &'static str, findings: Vec<Finding>, outcome: &mut Outcome) {
    for (status, detail, hint) in findings {
        if hint.is_empty() {
            outcome.add(name, status, detail);
        } else {
            outcome.advise(name, status, detail, hint);
        }
    }
}

/// Backups do not need these rights, and many stores do not know these requests.
fn unreadable(name: &'static str, error: store::Error, outcome: &mut Outcome) {
    match error {
        store::Error::Denied { action, .. } => {
            outcome.add(
                name,
                Status::Ok,
                format!("not shown to these credentials ({action}); the auditor's may see it"),
            );
        }
        store::Error::Refused { code, .. } => {
            outcome.add(name, Status::Ok, format!("the store has none ({code})"));
        }
        error => outcome.fail(name, &Error::from(error)),
    }
}

/// Rules that would remove or freeze what a restore needs, and what such rules should do and do not (PAINS A8, B14, E1).
fn lifecycle(rules: &[LifecycleRule], prefix: &str, immutability: Immutability, kept: Duration) -> Vec<Finding> {
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
            "they are paid for until somebody does: infra/ has rules that touch nothing else",
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
    if let (Some(days), None) = (rule.removes_noncurrent_days, locked) {
        let detail = format!("rule {name} removes overwritten versions after {days} days, and no lock holds them");
        findings.push((Status::Warn, detail, "an overwritten backup is lost then: lock the objects"));
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

/// Statements that the policy of `infra/` has. Whether an object under a foreign key is refused is tried elsewhere: this
/// names what is missing, and what is missing may be denied in another place.
fn policy(text: Option<&str>) -> Vec<Finding> {
    let parsed: Value = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let statements = match &parsed["Statement"] {
        Value::Array(statements) => statements.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    };
    let wanted = [
        (
            "s3:PutObject",
            Some(("Null", "s3:x-amz-server-side-encryption-customer-algorithm", "false")),
            "foreign keys (SSE-C)",
        ),
        ("s3:GetObject", Some(("Bool", "aws:SecureTransport", "false")), "requests without TLS"),
        ("s3:BypassGovernanceRetention", None, "the bypass of locks"),
    ];
    let lacking: Vec<&str> = wanted
        .iter()
        .filter(|(action, condition, _)| !statements.iter().any(|statement| denies(statement, action, *condition)))
        .map(|(.., what)| *what)
        .collect();
    let (have, hint) = match (text, lacking.is_empty()) {
        (Some(_), true) => {
            return vec![(Status::Ok, "denies foreign keys, requests without TLS and the bypass of locks".into(), "")];
        }
        (Some(_), false) => ("does not deny", "take the statements from infra/policies/bucket.json"),
        (None, _) => ("there is none, which would deny", "infra/ has one"),
    };
    vec![(Status::Note, format!("{have} {}", lacking.join(", ")), hint)]
}

/// Whether a statement denies `action` to everyone under this condition, or under none.
fn denies(statement: &Value, action: &str, condition: Option<(&str, &str, &str)>) -> bool {
    let everyone = statement["Principal"] == "*" || statement["Principal"]["AWS"] == "*";
    let covers = |pattern: &Value| {
        let Some(pattern) = pattern.as_str() else { return false };
        pattern.strip_suffix('*').map_or(pattern == action, |start| action.starts_with(start))
    };
    let actions = match &statement["Action"] {
        Value::Array(actions) => actions.iter().any(covers),
        one => covers(one),
    };
    let conditions = statement["Condition"].as_object().filter(|conditions| !conditions.is_empty());
    let under = match (conditions, condition) {
        (None, _) => true,
        (Some(conditions), Some((operator, key, value))) => {
            let single =
                conditions.len() == 1 && conditions.values().all(|keys| keys.as_object().is_some_and(|k| k.len() == 1));
            let found = &statement["Condition"][operator][key];
            single && (found == value || found.as_bool().is_some_and(|found| found.to_string() == value))
        }
        (Some(_), None) => false,
    };
    statement["Effect"] == "Deny" && everyone && actions && under
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::LockMode;

    const LOCKED: Immutability =
        Immutability::ObjectLock { mode: LockMode::Governance, retain: Duration::from_hours(24 * 30) };

    fn worst(rule: LifecycleRule, immutability: Immutability) -> Status {
        lifecycle(&[rule], "prod/", immutability, 60 * DAY).into_iter().map(|(status, ..)| status).max().unwrap()
    }

    #[test]
    fn rules_that_would_break_the_plan_are_told() {
        let expires = |expiry| LifecycleRule { expires: Some(expiry), ..LifecycleRule::default() };
        let at = |prefix: &str| LifecycleRule { prefix: prefix.into(), ..expires(Expiry::Days(1)) };
        let moves = |class: &str| LifecycleRule { moves_to: vec![class.into()], ..LifecycleRule::default() };
        let tagged = LifecycleRule { tagged_only: true, ..expires(Expiry::Days(1)) };
        let removes = LifecycleRule { removes_noncurrent_days: Some(1), ..LifecycleRule::default() };
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
            (removes, Status::Note, Status::Warn),
        ] {
            assert_eq!(worst(rule.clone(), LOCKED), locked, "{rule:?}");
            assert_eq!(worst(rule.clone(), Immutability::None), unlocked, "{rule:?}");
        }
    }

    #[test]
    fn what_nothing_tidies_is_named() {
        let detail = |rules: &[LifecycleRule]| lifecycle(rules, "prod/", LOCKED, 60 * DAY).remove(0).1;
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

    #[test]
    fn the_policy_of_infra_is_good_and_each_statement_counts() {
        let text = include_str!("../../../infra/policies/bucket.json");
        assert_eq!(policy(Some(text))[0].0, Status::Ok);
        let whole: Value = serde_json::from_str(text).unwrap();
        let lacking = |change: &dyn Fn(&mut Value)| {
            let mut changed = whole.clone();
            changed["Statement"].as_array_mut().unwrap().iter_mut().for_each(change);
            policy(Some(&changed.to_string()))[0].1.clone()
        };
        let all = "does not deny foreign keys (SSE-C), requests without TLS, the bypass of locks";
        assert_eq!(lacking(&|s| s["Effect"] = "Allow".into()), all);
        assert_eq!(lacking(&|s| s["Principal"] = "arn:aws:iam::1:root".into()), all);
        assert_eq!(lacking(&|s| s["Condition"]["IpAddress"] = serde_json::json!({"aws:SourceIp": "10.0.0.0/8"})), all);
        let foreign = lacking(&|s| {
            if s["Sid"] == "NoKeysOfStrangers" {
                s["Action"] = "s3:GetObject".into();
            }
        });
        assert_eq!(foreign, "does not deny foreign keys (SSE-C)");
        assert!(policy(None)[0].1.starts_with("there is none") && policy(Some("junk"))[0].0 == Status::Note);
    }
}
