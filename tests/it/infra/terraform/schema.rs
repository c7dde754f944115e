//! What the AWS provider knows of each kind of resource.

use std::collections::{BTreeMap, BTreeSet};

use hcl::Body;
use serde::Deserialize;

use super::{Module, label};

/// Arguments that Terraform itself gives to every resource.
const META: [&str; 5] = ["count", "depends_on", "for_each", "provider", "providers"];

#[derive(Debug, Deserialize)]
pub(super) struct Schema {
    kinds: BTreeMap<String, Structure>,
}

#[derive(Debug, Deserialize)]
struct Structure {
    arguments: BTreeSet<String>,
    blocks: BTreeMap<String, Structure>,
    required: BTreeSet<String>,
}

impl Schema {
    pub(super) fn load() -> Self {
        serde_json::from_str(&super::super::read("check/schema.json")).expect("a schema")
    }

    /// Arguments and blocks that do not exist, and such as are missing.
    pub(super) fn breaches(&self, module: &Module) -> Vec<String> {
        let mut found = Vec::new();
        for (kind, prefix) in [("resource", ""), ("data", "data.")] {
            for block in module.of_kind(kind) {
                let name = format!("{prefix}{}", label(block, 0));
                let place = format!("{}: {name}.{}", module.path, label(block, 1));
                match self.kinds.get(&name) {
                    Some(structure) => structure.check(block.body(), &place, &mut found),
                    None => found.push(format!("{place}: not in infra/check/schema.json")),
                }
            }
        }
        found
    }
}

impl Structure {
    fn check(&self, body: &Body, place: &str, found: &mut Vec<String>) {
        let mut given = BTreeSet::new();
        for key in body.attributes().map(hcl::Attribute::key).filter(|key| !META.contains(key)) {
            given.insert(key.to_owned());
            // A block may be written as an argument in no place of ours.
            if !self.arguments.contains(key) {
                found.push(format!("{place}: no argument {key}"));
            }
        }
        for block in body.blocks().filter(|block| block.identifier() != "lifecycle") {
            let dynamic = block.identifier() == "dynamic";
            let name = if dynamic { label(block, 0) } else { block.identifier().to_owned() };
            let content = block.body().blocks().find(|block| block.identifier() == "content");
            let inner = content.filter(|_| dynamic).map_or(block.body(), hcl::Block::body);
            let place = format!("{place}.{name}");
            match self.blocks.get(&name) {
                Some(structure) => structure.check(inner, &place, found),
                None => found.push(format!("{place}: no such block")),
            }
            given.insert(name);
        }
        found.extend(self.required.difference(&given).map(|missing| format!("{place}: needs {missing}")));
    }
}
