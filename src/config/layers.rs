//! Values by origin, and which of them wins: flags over environment over files over defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::environment::Environment;
use super::error::{Error, Origin, Result};
use super::key::{self, Key};
use super::named::NamedSection;

/// A value as it was written. Not `Debug`: it may be a URL with a password.
#[derive(Clone)]
pub(super) enum Raw {
    /// One value.
    One(String),
    /// Several.
    List(Vec<String>),
}

/// A value and where it was given.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

/// Values of one source.
pub(super) type Layer = BTreeMap<String, Given>;

/// What the command line says.
#[derive(Default)]
pub struct Flags {
    /// `--config`: the only file to read, which must exist.
    pub config: Option<PathBuf>,
    layer: Layer,
}

impl Flags {
    /// Takes over the value of a flag, spelt `flag` in errors.
    pub fn set(&mut self, key: &'static Key, flag: &'static str, value: impl Into<String>) -> &mut Self {
        self.insert(key, flag, Raw::One(value.into()))
    }

    /// Takes over the values of a flag that may be repeated. An empty list is no value.
    pub fn set_list(&mut self, key: &'static Key, flag: &'static str, values: Vec<String>) -> &mut Self {
        if values.is_empty() { self } else { self.insert(key, flag, Raw::List(values)) }
    }

    fn insert(&mut self, key: &'static Key, flag: &'static str, raw: Raw) -> &mut Self {
        self.layer.insert(key.path.into(), Given { raw, origin: Origin::Flag(flag) });
        self
    }

    pub(super) fn layer(&self) -> &Layer {
        &self.layer
    }
}

/// The settings among the variables. A `STONEWAL_…` name that means nothing is an error: a misspelt variable must not
/// silently leave a protection at its default.
pub(super) fn environment_layer(environment: &Environment) -> Result<Layer> {
    let mut layer = Layer::new();
    // Variables of the scripts that stonewal replaces; ours win.
    for (name, key) in [
        ("DATABASE_URL", &key::POSTGRES_URL),
        ("WAL_SLOT_NAME", &key::WAL_SLOT),
        ("CREATE_WAL_SLOT", &key::WAL_CREATE_SLOT),
    ] {
        if let Some(value) = environment.get(name) {
            layer.insert(key.path.into(), Given { raw: Raw::One(value.into()), origin: Origin::Variable(name.into()) });
        }
    }
    for (name, _) in environment.with_prefix("STONEWAL_") {
        let Some(key) = key::ALL.iter().find(|key| key.variable == name) else {
            if name == key::CONFIG_VARIABLE || not_a_setting(name) {
                continue;
            }
            return Err(Error::UnknownVariable { name: name.into(), nearest: key::nearest_variable(name) });
        };
        if let Some(value) = environment.get(name) {
            layer.insert(key.path.into(), Given { raw: Raw::One(value.into()), origin: Origin::Variable(name.into()) });
        }
    }
    Ok(layer)
}

/// Names that tests use, and those that Kubernetes sets in every pod when a Service is called "stonewal".
fn not_a_setting(name: &str) -> bool {
    let rest = name.trim_start_matches("STONEWAL_");
    rest.starts_with("TEST_") || rest.starts_with("SERVICE_") || rest == "PORT" || rest.starts_with("PORT_")
}

/// All layers, weakest first.
pub(super) struct Layers(Vec<Layer>);

/// Nothing: a layer may hold a URL with a password.
impl std::fmt::Debug for Layers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Layers")
    }
}

impl Layers {
    /// `files` in order of reading, the later over the earlier.
    pub(super) fn new(files: Vec<Layer>, environment: Layer, flags: Layer) -> Self {
        let mut layers = files;
        layers.extend([environment, flags]);
        Self(layers)
    }

    /// The winning value of a key in a section that has a name.
    pub(super) fn get_path(&self, path: &str) -> Option<Given> {
        self.0.iter().rev().find_map(|layer| layer.get(path)).cloned()
    }

    /// Where something below this path was given first.
    pub(super) fn origin_in(&self, path: &str) -> Origin {
        let below = self.0.iter().flatten().find(|(known, _)| known.starts_with(path));
        below.map_or(Origin::Default, |(_, given)| given.origin.clone())
    }

    /// Names of the sections of this kind that the files hold.
    pub(super) fn names(&self, section: &NamedSection) -> BTreeSet<String> {
        let paths = self.0.iter().flat_map(|layer| layer.keys());
        let names = paths.filter_map(|path| path.rsplit_once('.').and_then(|(head, _)| section.name_in(head)));
        names.map(str::to_owned).collect()
    }

    /// The winning value, the default included.
    pub(super) fn get(&self, key: &Key) -> Option<Given> {
        self.winning(key, |_| true)
    }

    /// What it would be without any flag: what is configured for every command.
    pub(super) fn without_flags(&self, key: &Key) -> Option<Given> {
        self.winning(key, |origin| !matches!(origin, Origin::Flag(_)))
    }

    fn winning(&self, key: &Key, counts: impl Fn(&Origin) -> bool) -> Option<Given> {
        let mut given = self.0.iter().rev().filter_map(|layer| layer.get(key.path));
        let given = given.find(|given| counts(&given.origin)).cloned();
        given.or_else(|| key.default.map(|text| Given { raw: Raw::One(text.into()), origin: Origin::Default }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_variables_are_errors_but_service_links_are_not() {
        let fine = [
            ("STONEWAL_SERVICE_HOST", "10.0.0.1"),
            ("STONEWAL_PORT_80_TCP", "tcp://"),
            ("STONEWAL_TEST_S3", "x"),
            ("STONEWAL_CONFIG", "x"),
        ];
        assert!(environment_layer(&Environment::from_pairs(fine).unwrap()).unwrap().is_empty());
        let Err(error) = environment_layer(&Environment::from_pairs([("STONEWAL_LOCK_RETIAN", "1y")]).unwrap()) else {
            panic!("accepted")
        };
        assert_eq!(error.to_string(), "unknown environment variable STONEWAL_LOCK_RETIAN");
        assert_eq!(error.hint().unwrap(), "did you mean STONEWAL_LOCK_RETAIN?");
    }

    #[test]
    fn our_own_variable_wins_over_the_inherited_one() {
        let env = [("DATABASE_URL", "a"), ("STONEWAL_POSTGRES_URL", "b")];
        let layer = environment_layer(&Environment::from_pairs(env).unwrap()).unwrap();
        assert!(matches!(&layer[key::POSTGRES_URL.path].raw, Raw::One(url) if url == "b"));
    }
}
