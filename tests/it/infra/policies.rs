//! The IAM policies in `infra/` are those of `store::roles`, which the embedded server enforces.
//!
//! `UPDATE_POLICIES=1 cargo nextest run infra::policies` writes them anew.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stonewal::store::roles::Role;

use super::{infra, read};
use crate::support::variable;

/// Actions whose resource is an object; the resource of all others is the bucket (Service Authorization Reference,
/// "Actions defined by Amazon S3").
const ON_OBJECTS: [&str; 13] = [
    "s3:AbortMultipartUpload",
    "s3:BypassGovernanceRetention",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:GetObject",
    "s3:GetObjectLegalHold",
    "s3:GetObjectRetention",
    "s3:GetObjectVersion",
    "s3:ListMultipartUploadParts",
    "s3:PutObject",
    "s3:PutObjectLegalHold",
    "s3:PutObjectRetention",
    "s3:RestoreObject",
];

const TEMPLATE: &str = "cloudformation/repository.yaml";

/// How a target language names things.
struct Words {
    bucket: Value,
    objects: Value,
    everything: Value,
    pruner: Value,
    lock_days_max: Value,
}

fn terraform() -> Words {
    Words {
        bucket: json!("${bucket_arn}"),
        objects: json!("${bucket_arn}/${prefix}*"),
        everything: json!("${bucket_arn}/*"),
        pruner: json!("${pruner_arn}"),
        lock_days_max: json!("${lock_days_max}"),
    }
}

fn cloudformation() -> Words {
    Words {
        bucket: json!({"Fn::GetAtt": ["Bucket", "Arn"]}),
        objects: json!({"Fn::Sub": "${Bucket.Arn}/${Prefix}*"}),
        everything: json!({"Fn::Sub": "${Bucket.Arn}/*"}),
        pruner: json!({"Fn::GetAtt": ["PrunerRole", "Arn"]}),
        lock_days_max: json!({"Ref": "LockDaysMax"}),
    }
}

/// What a role may do, and nothing else.
fn identity_policy(role: Role, words: &Words) -> Value {
    let (objects, bucket): (Vec<&str>, Vec<&str>) =
        role.actions().iter().partition(|action| ON_OBJECTS.contains(action));
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "Bucket", "Effect": "Allow", "Action": bucket, "Resource": words.bucket},
            {"Sid": "Objects", "Effect": "Allow", "Action": objects, "Resource": words.objects},
        ],
    })
}

/// What nobody may do, whatever an identity's policies say.
fn bucket_policy(words: &Words) -> Value {
    let all = json!([words.bucket, words.everything]);
    let deny = |sid: &str, action: Value, resource: &Value, condition: Value| {
        json!({
            "Sid": sid, "Effect": "Deny", "Principal": "*", "Action": action, "Resource": resource, "Condition": condition,
        })
    };
    let mut bypass = deny("NobodyBypassesLocks", json!("s3:BypassGovernanceRetention"), &words.everything, Value::Null);
    bypass.as_object_mut().unwrap().remove("Condition");
    json!({
        "Version": "2012-10-17",
        "Statement": [
            deny("OnlyOverTls", json!("s3:*"), &all, json!({"Bool": {"aws:SecureTransport": "false"}})),
            deny("OnlyOverTls12", json!("s3:*"), &all, json!({"NumericLessThan": {"s3:TlsVersion": "1.2"}})),
            deny(
                "NoKeysOfStrangers",
                json!("s3:PutObject"),
                &words.everything,
                json!({"Null": {"s3:x-amz-server-side-encryption-customer-algorithm": "false"}}),
            ),
            bypass,
            deny(
                "NoEndlessLocks",
                json!("s3:PutObjectRetention"),
                &words.everything,
                json!({"NumericGreaterThan": {"s3:object-lock-remaining-retention-days": words.lock_days_max}}),
            ),
            deny(
                "OnlyThePrunerDeletes",
                json!(["s3:DeleteObject", "s3:DeleteObjectVersion"]),
                &words.everything,
                json!({"StringNotEquals": {"aws:PrincipalArn": words.pruner}}),
            ),
        ],
    })
}

fn text(policy: &Value) -> String {
    format!("{policy:#}\n")
}

/// Every generated file with what it must hold.
fn files() -> Vec<(String, String)> {
    let words = terraform();
    let roles = Role::GRANTED.map(|role| (format!("policies/{role}.json"), text(&identity_policy(role, &words))));
    let mut files: Vec<_> = roles.into();
    files.push(("policies/bucket.json".into(), text(&bucket_policy(&words))));
    files.push((TEMPLATE.into(), with_policies(&read(TEMPLATE))));
    files
}

/// The template with each `PolicyDocument: # NAME, from src/store/roles.rs` followed by that policy. JSON is YAML.
fn with_policies(template: &str) -> String {
    let words = cloudformation();
    let mut result = String::new();
    let mut skipped_to = None;
    for line in template.lines() {
        let depth = line.len() - line.trim_start().len();
        match skipped_to {
            Some(outer) if line.is_empty() || depth > outer => continue,
            Some(_) => result.push('\n'),
            None => {}
        }
        skipped_to = None;
        result.push_str(line);
        result.push('\n');
        let Some(name) = line.trim().strip_prefix("PolicyDocument: # ").and_then(|rest| rest.split(',').next()) else {
            continue;
        };
        let policy = match Role::GRANTED.iter().find(|role| role.name() == name) {
            Some(role) => identity_policy(*role, &words),
            None if name == "bucket" => bucket_policy(&words),
            None => continue,
        };
        for line in text(&policy).lines() {
            result.push_str(&" ".repeat(depth + 2));
            result.push_str(line);
            result.push('\n');
        }
        skipped_to = Some(depth);
    }
    result
}

#[test]
fn policies_are_those_of_the_roles() {
    let update = variable("UPDATE_POLICIES").is_some_and(|value| value == "1");
    let mut wrong = Vec::new();
    for (path, wanted) in files() {
        if update {
            std::fs::write(infra(&path), &wanted).unwrap();
        }
        if std::fs::read_to_string(infra(&path)).ok().as_deref() != Some(&wanted) {
            wrong.push(format!("infra/{path}"));
        }
    }
    assert!(wrong.is_empty(), "not what src/store/roles.rs says (UPDATE_POLICIES=1 writes them): {wrong:?}");
}

#[test]
fn every_role_has_its_policy_in_the_template() {
    let template = read(TEMPLATE);
    for name in Role::GRANTED.map(Role::name).into_iter().chain(["bucket"]) {
        let marker = format!("PolicyDocument: # {name}, from src/store/roles.rs");
        assert_eq!(template.matches(&marker).count(), 1, "{marker}");
    }
}

#[test]
fn every_action_is_granted_on_its_kind_of_resource() {
    for role in Role::GRANTED {
        for action in role.actions() {
            let on_object = action.contains("Object") && *action != "s3:GetBucketObjectLockConfiguration";
            assert_eq!(ON_OBJECTS.contains(action), on_object, "{role} {action}");
        }
    }
}

/// The comparison can fail: an action more, an action less, a policy on a wrong line.
#[test]
fn a_changed_policy_is_noticed() {
    let wanted = text(&identity_policy(Role::Writer, &terraform()));
    assert_eq!(read("policies/writer.json"), wanted);
    assert_ne!(wanted.replace("\"s3:PutObject\",", "\"s3:PutObject\", \"s3:DeleteObject\","), wanted);
    let template = with_policies(&read(TEMPLATE));
    for (from, to) in [("s3:GetObjectVersion", "s3:*"), ("\"s3:PutObjectRetention\"", "\"s3:PutObjectAcl\"")] {
        let changed = template.replacen(from, to, 1);
        assert_ne!(changed, template);
        assert_eq!(with_policies(&changed), template, "{from}");
    }
}

/// PAINS D9: README names what each role may do, and nothing else.
#[test]
fn d09_the_readme_names_the_actions_of_every_role() {
    let readme = include_str!("../../../README.md");
    let told = |role: Role| -> BTreeSet<String> {
        let row = readme.lines().find(|line| line.starts_with(&format!("| {role} |")));
        let actions = row.unwrap_or_else(|| panic!("no row for {role}")).rsplit('|').nth(1).unwrap();
        actions.split('`').skip(1).step_by(2).map(|action| format!("s3:{action}")).collect()
    };
    for role in Role::GRANTED {
        let row = readme.lines().find(|line| line.starts_with(&format!("| {role} |"))).unwrap();
        let mut actions: BTreeSet<String> = told(role);
        if let Some((_, without)) = row.split_once("those of reader") {
            let left_out: BTreeSet<String> = without.split('`').skip(1).step_by(2).map(|a| format!("s3:{a}")).collect();
            let left_out = if without.trim_start().starts_with("without") { left_out } else { BTreeSet::new() };
            actions = actions.difference(&left_out).cloned().collect();
            actions.extend(told(Role::Reader).difference(&left_out).cloned());
        }
        let granted: BTreeSet<String> = role.actions().iter().map(|action| (*action).to_owned()).collect();
        assert_eq!(actions, granted, "{role}");
    }
}
