//! What the bucket does by itself and whom it stops: lifecycle rules that would break the plan, and the bucket policy.

use std::time::Duration;

use serde_json::Value;

use super::{Outcome, Status};
use crate::commands::lifecycle::{self, Finding};
use crate::commands::{Connected, Error, Immutability};
use crate::store;

pub(super) async fn check(connected: &Connected, immutability: Immutability, kept: Duration, outcome: &mut Outcome) {
    match connected.store.lifecycle().await {
        Ok(rules) => {
            report("lifecycle", lifecycle::judge(&rules, connected.names.prefix(), immutability, kept), outcome);
        }
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
