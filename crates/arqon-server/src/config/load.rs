//! Reads the sources of the configuration and lays them over each other.

use super::Config;
use super::nearest::nearest;
use super::setting::Section;
use std::fmt;
use std::path::PathBuf;
use toml::{Table, Value};

/// Where values come from; each overrides the ones before it.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// Environment variables; those named `ARQON_SECTION__KEY` count.
    pub env: Vec<(String, String)>,
    /// Flags, as dotted key and value.
    pub overrides: Vec<(String, String)>,
}

impl Sources {
    /// The file and flags given, and this process's environment.
    pub fn from_process(file: Option<PathBuf>, overrides: Vec<(String, String)>) -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Sources { file, env: std::env::vars_os().filter_map(text).collect(), overrides }
    }
}

/// Where a value was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: it concerns the combination of values.
    Whole,
    /// In the file.
    File(PathBuf),
    /// In this environment variable.
    Environment(String),
    /// In a flag.
    Flag,
}

/// Something wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The dotted key.
    pub key: String,
    /// Where it was found.
    pub origin: Origin,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, origin: Origin, message: impl Into<String>) -> Self {
        Problem { key: key.into(), origin, message: message.into(), hint: None }
    }
    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Whole | Origin::Flag => write!(f, "`{}`", self.key)?,
            Origin::File(path) if self.key.is_empty() => write!(f, "{}", path.display())?,
            Origin::File(path) => write!(f, "`{}` in {}", self.key, path.display())?,
            Origin::Environment(name) => write!(f, "`{}` from {name}", self.key)?,
        }
        write!(f, ": {}", self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// All problems of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

/// Lays all sources over the defaults; what cannot be used is left at its default and reported.
pub(super) fn read(sources: &Sources) -> (Config, Vec<Problem>) {
    let mut config = Config::default();
    let mut problems = Vec::new();
    if let Some(path) = &sources.file {
        let origin = Origin::File(path.clone());
        match read_file(path) {
            Ok(table) => apply_table(&mut config, "", &table, &origin, &mut problems),
            Err(message) => problems.push(Problem::new("", origin, message)),
        }
    }
    let mut env = sources.env.clone();
    env.sort();
    for (name, value) in env {
        let Some(key) = key_of_variable(&name) else { continue };
        // Empty stands for absent, as in most tools that pass variables on.
        if !value.is_empty() {
            apply(&mut config, &key, &Value::String(value), &Origin::Environment(name), &mut problems);
        }
    }
    for (key, value) in &sources.overrides {
        apply(&mut config, key, &Value::String(value.clone()), &Origin::Flag, &mut problems);
    }
    (config, problems)
}

/// The key that an environment variable names; `None` for variables that are not ours to read.
fn key_of_variable(name: &str) -> Option<String> {
    let rest = name.strip_prefix("ARQON_")?;
    rest.contains("__").then(|| rest.to_ascii_lowercase().replace("__", "."))
}

fn read_file(path: &std::path::Path) -> Result<Table, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot be read: {e}"))?;
    text.parse::<Table>().map_err(|e| format!("is not valid TOML: {}", e.to_string().trim_end()))
}

fn apply_table(
    config: &mut Config,
    prefix: &str,
    table: &Table,
    origin: &Origin,
    problems: &mut Vec<Problem>,
) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let is_section = config.sections().iter().any(|(p, _)| *p == key);
        match value {
            Value::Array(list) if key == "delivery" => {
                config.delivery = read_list(&key, list, origin, problems)
            }
            Value::Array(list) if key == "rooms" => config.rooms = read_list(&key, list, origin, problems),
            Value::Table(inner) if is_section => apply_table(config, &key, inner, origin, problems),
            _ => apply(config, &key, value, origin, problems),
        }
    }
}

fn apply(config: &mut Config, key: &str, value: &Value, origin: &Origin, problems: &mut Vec<Problem>) {
    let (prefix, field) = key.rsplit_once('.').unwrap_or(("", key));
    let mut sections = config.sections_mut();
    let section = sections.iter_mut().find(|(p, _)| *p == prefix);
    match section.and_then(|(_, section)| section.set(field, value)) {
        Some(Ok(())) => {}
        Some(Err(message)) => problems.push(Problem::new(key, origin.clone(), message)),
        None => problems.push(unknown(config, key, origin)),
    }
}

fn unknown(config: &Config, key: &str, origin: &Origin) -> Problem {
    let problem = Problem::new(key, origin.clone(), "there is no such key");
    if key == "delivery" || key.starts_with("delivery.") {
        return problem.with_hint("delivery rules are written in the file, as `[[delivery]]` tables");
    }
    if key == "rooms" || key.starts_with("rooms.") {
        return problem.with_hint("rooms are written in the file, as `[[rooms]]` tables");
    }
    let mut known: Vec<String> = Vec::new();
    for (prefix, section) in config.sections() {
        known.push(prefix.to_owned());
        known.extend(section.keys().iter().map(|k| format!("{prefix}.{}", k.name)));
    }
    match nearest(key, known.iter().map(String::as_str)) {
        Some(name) => problem.with_hint(format!("did you mean `{name}`?")),
        None => problem.with_hint("`arqon config schema` lists all keys"),
    }
}

/// The tables of an array, `[[delivery]]` or `[[rooms]]`.
fn read_list<T: Section + Default>(
    name: &str,
    tables: &[Value],
    origin: &Origin,
    problems: &mut Vec<Problem>,
) -> Vec<T> {
    let mut list = Vec::new();
    for (i, value) in tables.iter().enumerate() {
        let key = format!("{name}[{i}]");
        let Value::Table(table) = value else {
            problems.push(Problem::new(key, origin.clone(), "expected a table"));
            continue;
        };
        let mut rule = T::default();
        for (name, value) in table {
            let key = format!("{key}.{name}");
            match rule.set(name, value) {
                Some(Ok(())) => {}
                Some(Err(message)) => problems.push(Problem::new(key, origin.clone(), message)),
                None => {
                    let keys = rule.keys();
                    let hint = nearest(name, keys.iter().map(|k| k.name));
                    let problem = Problem::new(key, origin.clone(), "there is no such key");
                    problems.push(match hint {
                        Some(hint) => problem.with_hint(format!("did you mean `{hint}`?")),
                        None => problem,
                    });
                }
            }
        }
        list.push(rule);
    }
    list
}
