//! The Terraform of `infra/`: what `terraform validate` would find, without Terraform and without its registry.
//!
//! References lead somewhere, calls fit their modules, templates get their values, and resources have only arguments that
//! the AWS provider knows (`infra/check/schema.json`).

mod references;
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use hcl::{Block, Body, Expression};

use super::infra;

/// One folder of Terraform files.
#[derive(Debug)]
struct Module {
    /// Relative to `infra/`.
    path: String,
    blocks: Vec<Block>,
}

impl Module {
    fn new(path: &str, text: &str) -> Self {
        let body = hcl::parse(text).unwrap_or_else(|error| panic!("infra/{path}: {error}"));
        Self { path: path.to_owned(), blocks: body.into_blocks().collect() }
    }

    fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Block> {
        self.blocks.iter().filter(move |block| block.identifier() == kind)
    }

    /// First labels of the blocks of a kind.
    fn names(&self, kind: &str) -> BTreeSet<String> {
        self.of_kind(kind).map(|block| label(block, 0)).collect()
    }

    fn variables_without_default(&self) -> BTreeSet<String> {
        let needed = self.of_kind("variable").filter(|block| attribute(block.body(), "default").is_none());
        needed.map(|block| label(block, 0)).collect()
    }
}

fn label(block: &Block, at: usize) -> String {
    block.labels().get(at).map(|label| label.as_str().to_owned()).unwrap_or_default()
}

fn attribute<'a>(body: &'a Body, name: &str) -> Option<&'a Expression> {
    body.attributes().find(|attribute| attribute.key() == name).map(hcl::Attribute::expr)
}

/// Every folder with `.tf` files, by path.
fn modules() -> BTreeMap<String, Module> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut folders = vec![infra("")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "tf") {
                let relative = folder.strip_prefix(infra("")).unwrap().to_string_lossy().into_owned();
                texts.entry(relative).or_default().push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(texts.len() >= 7, "{:?}", texts.keys());
    texts.into_iter().map(|(path, text)| (path.clone(), Module::new(&path, &text))).collect()
}

/// `../../modules/bucket` as seen from a module.
fn resolve(from: &str, relative: &str) -> String {
    let mut path = PathBuf::from(from);
    for part in Path::new(relative).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path.to_string_lossy().into_owned()
}

/// Arguments of calls that the called module does not have, or needs and does not get; outputs that do not exist.
fn misfits(modules: &BTreeMap<String, Module>, module: &Module) -> Vec<String> {
    let mut found = Vec::new();
    for call in module.of_kind("module") {
        let name = label(call, 0);
        let Some(Expression::String(source)) = attribute(call.body(), "source") else {
            found.push(format!("{}: module {name} has no source", module.path));
            continue;
        };
        let Some(called) = modules.get(&resolve(&module.path, source)) else {
            found.push(format!("{}: module {name}: {source} does not exist", module.path));
            continue;
        };
        let given: BTreeSet<String> = call.body().attributes().map(|attribute| attribute.key().to_owned()).collect();
        let own = ["source", "providers", "count", "for_each", "depends_on"];
        let known = called.names("variable");
        let wrong = given.iter().filter(|name| !own.contains(&name.as_str()) && !known.contains(*name));
        found.extend(wrong.map(|argument| format!("{}: module {name} has no variable {argument}", module.path)));
        let needed = called.variables_without_default();
        let missing = needed.difference(&given);
        found.extend(missing.map(|argument| format!("{}: module {name} needs {argument}", module.path)));
        let outputs = called.names("output");
        for path in references::all(module).iter().filter(|path| path[0] == "module" && path[1] == name) {
            if !path.get(2).is_some_and(|output| outputs.contains(output)) {
                found.push(format!("{}: no output {}", module.path, path.join(".")));
            }
        }
    }
    found
}

#[test]
fn every_reference_leads_somewhere() {
    let found: Vec<_> = modules().values().flat_map(references::dangling).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_variable_is_used_and_explained() {
    for module in modules().values() {
        let used = references::all(module);
        for variable in module.of_kind("variable") {
            let name = label(variable, 0);
            assert!(used.iter().any(|path| path[..2] == ["var", &name]), "{}: {name} is not used", module.path);
            for needed in ["description", "type"] {
                assert!(attribute(variable.body(), needed).is_some(), "{}: {name} has no {needed}", module.path);
            }
        }
        for output in module.of_kind("output") {
            assert!(attribute(output.body(), "description").is_some(), "{}: {}", module.path, label(output, 0));
        }
    }
}

#[test]
fn every_call_fits_its_module() {
    let modules = modules();
    let found: Vec<_> = modules.values().flat_map(|module| misfits(&modules, module)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_template_gets_its_values() {
    let mut templates = 0;
    for module in modules().values() {
        for (file, given) in references::templates(module) {
            let files: Vec<String> = if file.contains("${each.key}") {
                let roles = stonewal::store::roles::Role::GRANTED;
                roles.iter().map(|role| file.replace("${each.key}", role.name())).collect()
            } else {
                vec![file]
            };
            for file in files {
                let path = resolve(&module.path, file.trim_start_matches("${path.module}/"));
                let needed = references::placeholders(&super::read(&path));
                assert_eq!(needed, given, "{}: {path}", module.path);
                templates += 1;
            }
        }
    }
    assert_eq!(templates, 6, "five roles and a bucket");
}

#[test]
fn every_argument_is_known_to_the_provider() {
    let schema = schema::Schema::load();
    let found: Vec<_> = modules().values().flat_map(|module| schema.breaches(module)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

/// Current versions are never expired or moved by a rule: that would break the plan.
#[test]
fn the_lifecycle_touches_leftovers_only() {
    let modules = modules();
    let bucket = &modules["modules/bucket"];
    let rules = bucket.of_kind("resource").find(|b| label(b, 0) == "aws_s3_bucket_lifecycle_configuration").unwrap();
    let rule = rules.body().blocks().find(|block| block.identifier() == "rule").unwrap();
    let parts: BTreeSet<&str> = rule.body().blocks().map(Block::identifier).collect();
    let wanted = ["abort_incomplete_multipart_upload", "expiration", "filter", "noncurrent_version_expiration"];
    assert_eq!(parts, BTreeSet::from(wanted));
    let expiration = rule.body().blocks().find(|block| block.identifier() == "expiration").unwrap();
    let keys: Vec<&str> = expiration.body().attributes().map(hcl::Attribute::key).collect();
    assert_eq!(keys, ["expired_object_delete_marker"]);
    // `init --lifecycle` installs the same.
    let text = |name: &str| std::fs::read_to_string(infra(name)).unwrap();
    let (main, template) = (text("modules/bucket/main.tf"), text("cloudformation/repository.yaml"));
    let id = stonewal::commands::lifecycle::RULE;
    assert!(main.contains(&format!("id     = \"{id}\"")) && template.contains(&format!("Id: {id}")));
    let variables = text("modules/bucket/variables.tf");
    for (variable, parameter, days) in [
        ("noncurrent_days", "NoncurrentDays", stonewal::limits::LIFECYCLE_NONCURRENT_DAYS),
        ("abandoned_upload_days", "AbandonedUploadDays", stonewal::limits::LIFECYCLE_UPLOAD_DAYS),
    ] {
        let declared = variables.split(&format!("variable \"{variable}\"")).nth(1).unwrap();
        let default = declared.split("default     = ").nth(1).unwrap().lines().next().unwrap();
        assert_eq!(default, days.to_string(), "{variable}");
        let declared = template.split(&format!("  {parameter}:\n")).nth(1).unwrap();
        let default = declared.split("Default: ").nth(1).unwrap().lines().next().unwrap();
        assert_eq!(default, days.to_string(), "{parameter}");
    }
}

#[test]
fn each_rule_can_fail() {
    let dangling = |text: &str| references::dangling(&Module::new("x", text)).len();
    assert_eq!(dangling("variable \"a\" {}\noutput \"b\" { value = \"${var.a}-x\" }"), 0);
    for text in [
        "output \"b\" { value = var.a }",
        "output \"b\" { value = \"x-${local.a}\" }",
        "output \"b\" { value = [for x in [1] : y] }",
        "output \"b\" { value = aws_s3_bucket.this.arn }",
        "output \"b\" { value = data.aws_partition.this.id }",
        "resource \"aws_iam_role\" \"this\" { name = each.key }",
    ] {
        assert_eq!(dangling(text), 1, "{text}");
    }
    let mut two =
        BTreeMap::from([("m".to_owned(), Module::new("m", "variable \"a\" {}\noutput \"o\" { value = var.a }"))]);
    for (text, wrong) in [("a = 1", 0), ("", 1), ("a = 1\n b = 2", 1)] {
        let call = Module::new("c", &format!("module \"x\" {{\n source = \"../m\"\n {text}\n}}"));
        assert_eq!(misfits(&two, &call).len(), wrong, "{text}");
    }
    let call = "module \"x\" {\n source = \"../m\"\n a = 1\n}\noutput \"y\" { value = module.x.p }";
    two.insert("c".into(), Module::new("c", call));
    assert_eq!(misfits(&two, &two["c"]).len(), 1);
    let schema = schema::Schema::load();
    for (body, wrong) in [
        ("bucket = 1\n rule {\n object_ownership = 1\n}", 0),
        ("bucket = 1\n rule {\n object_owner = 1\n}", 2),
        ("bucket = 1", 1),
        ("bucket = 1\n rules {\n}", 2),
    ] {
        let text = format!("resource \"aws_s3_bucket_ownership_controls\" \"x\" {{\n {body}\n}}");
        assert_eq!(schema.breaches(&Module::new("x", &text)).len(), wrong, "{body}");
    }
}
