//! Where expressions lead.

use std::collections::BTreeSet;

use hcl::expr::{ObjectKey, Operation, TraversalOperator};
use hcl::structure::Structure;
use hcl::template::{Element, Template};
use hcl::{Body, Expression};

use super::{Module, label};

/// Walks a module and hands every traversal (`a.b["c"]` as its parts) to a visitor with the names bound there.
struct Walk<'a> {
    bound: Vec<String>,
    visit: &'a mut dyn FnMut(&[String], &[String]),
}

impl Walk<'_> {
    fn body(&mut self, body: &Body) {
        let bound = self.bound.len();
        if body.attributes().any(|attribute| attribute.key() == "for_each") {
            self.bound.push("each".into());
        }
        for structure in body {
            match structure {
                // Provider aliases, types and attribute names are no references to values.
                Structure::Attribute(attribute) if ["providers", "provider", "type"].contains(&attribute.key()) => {}
                Structure::Attribute(attribute) => self.expression(attribute.expr()),
                Structure::Block(block) => {
                    let dynamic = block.identifier() == "dynamic";
                    self.bound.extend(dynamic.then(|| label(block, 0)));
                    self.body(block.body());
                    self.bound.truncate(self.bound.len() - usize::from(dynamic));
                }
            }
        }
        self.bound.truncate(bound);
    }

    fn expression(&mut self, expression: &Expression) {
        match expression {
            Expression::Array(items) => items.iter().for_each(|item| self.expression(item)),
            Expression::Object(items) => {
                for (key, value) in items {
                    if let ObjectKey::Expression(key) = key {
                        self.expression(key);
                    }
                    self.expression(value);
                }
            }
            Expression::TemplateExpr(template) => self.template(&Template::from_expr(template).expect("a template")),
            Expression::Variable(name) => self.found(&[name.as_str().to_owned()]),
            Expression::Traversal(traversal) => {
                let mut path = Vec::new();
                match &traversal.expr {
                    Expression::Variable(name) => path.push(name.as_str().to_owned()),
                    other => self.expression(other),
                }
                for operator in &traversal.operators {
                    match operator {
                        TraversalOperator::GetAttr(name) => path.push(name.as_str().to_owned()),
                        TraversalOperator::Index(Expression::String(key)) => path.push(key.clone()),
                        TraversalOperator::Index(index) => {
                            path.push("*".into());
                            self.expression(index);
                        }
                        _ => path.push("*".into()),
                    }
                }
                if matches!(traversal.expr, Expression::Variable(_)) {
                    self.found(&path);
                }
            }
            Expression::FuncCall(call) => call.args.iter().for_each(|argument| self.expression(argument)),
            Expression::Parenthesis(inner) => self.expression(inner),
            Expression::Conditional(parts) => {
                for part in [&parts.cond_expr, &parts.true_expr, &parts.false_expr] {
                    self.expression(part);
                }
            }
            Expression::Operation(operation) => match &**operation {
                Operation::Unary(unary) => self.expression(&unary.expr),
                Operation::Binary(binary) => {
                    self.expression(&binary.lhs_expr);
                    self.expression(&binary.rhs_expr);
                }
            },
            Expression::ForExpr(each) => {
                self.expression(&each.collection_expr);
                let bound = self.bound.len();
                self.bound.extend(each.key_var.iter().map(|name| name.as_str().to_owned()));
                self.bound.push(each.value_var.as_str().to_owned());
                let parts = each.key_expr.iter().chain([&each.value_expr]).chain(each.cond_expr.iter());
                parts.for_each(|part| self.expression(part));
                self.bound.truncate(bound);
            }
            _ => {}
        }
    }

    fn template(&mut self, template: &Template) {
        for element in template.elements() {
            match element {
                Element::Interpolation(interpolation) => self.expression(&interpolation.expr),
                Element::Directive(_) => panic!("directives are not used here"),
                Element::Literal(_) => {}
            }
        }
    }

    fn found(&mut self, path: &[String]) {
        (self.visit)(path, &self.bound);
    }
}

fn walk(module: &Module, mut visit: impl FnMut(&[String], &[String])) {
    for block in &module.blocks {
        Walk { bound: Vec::new(), visit: &mut visit }.body(block.body());
    }
}

/// All references of at least two parts.
pub(super) fn all(module: &Module) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    walk(module, |path, _| paths.extend((path.len() > 1).then(|| path.to_vec())));
    paths
}

/// References to nothing.
pub(super) fn dangling(module: &Module) -> Vec<String> {
    let locals = module.of_kind("locals").flat_map(|block| block.body().attributes()).map(|a| a.key().to_owned());
    let locals: BTreeSet<String> = locals.collect();
    let of_two = |kind: &str| -> BTreeSet<_> { module.of_kind(kind).map(|b| (label(b, 0), label(b, 1))).collect() };
    let (resources, data) = (of_two("resource"), of_two("data"));
    let (variables, calls) = (module.names("variable"), module.names("module"));
    let mut found = Vec::new();
    walk(module, |path, bound| {
        let part = |at: usize| path.get(at).cloned().unwrap_or_default();
        let known = match path[0].as_str() {
            "var" => variables.contains(&part(1)),
            "local" => locals.contains(&part(1)),
            "module" => calls.contains(&part(1)),
            "data" => data.contains(&(part(1), part(2))),
            "path" => part(1) == "module",
            root => bound.iter().any(|name| name == root) || resources.contains(&(part(0), part(1))),
        };
        if !known {
            found.push(format!("{}: {}", module.path, path.join(".")));
        }
    });
    found
}

/// Files given to `templatefile`, with the names of the values they get.
pub(super) fn templates(module: &Module) -> Vec<(String, BTreeSet<String>)> {
    let calls = module.blocks.iter().flat_map(|block| block.body().attributes()).filter_map(|attribute| {
        let Expression::FuncCall(call) = attribute.expr() else { return None };
        let [Expression::TemplateExpr(file), Expression::Object(values)] = &call.args[..] else { return None };
        let names = values.keys().map(|key| match key {
            ObjectKey::Identifier(name) => name.as_str().to_owned(),
            other => other.to_string(),
        });
        let file = file.to_string();
        (call.name.name.as_str() == "templatefile").then(|| (file.trim_matches('"').to_owned(), names.collect()))
    });
    calls.collect()
}

/// Names in `${…}`.
pub(super) fn placeholders(text: &str) -> BTreeSet<String> {
    text.split("${").skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name.to_owned()).collect()
}
