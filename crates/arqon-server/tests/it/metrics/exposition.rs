//! A strict reader of the text form 0.0.4 of Prometheus, written from its specification: what it takes, every scraper takes.

use std::collections::{BTreeMap, BTreeSet};

/// One family.
pub struct Family {
    pub kind: String,
    /// Name, labels as they stand, value.
    samples: Vec<(String, String, f64)>,
}

/// All families of an answer.
pub struct Page(BTreeMap<String, Family>);

impl Page {
    /// # Panics
    /// When the text breaks the format anywhere.
    pub fn read(text: &str) -> Page {
        assert!(text.ends_with('\n'), "the last line must end");
        let mut families = BTreeMap::new();
        let mut open: Option<(String, Family)> = None;
        let mut help: Option<&str> = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, words) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                assert!(!words.is_empty() && help.is_none(), "{line}");
                if let Some((name, family)) = open.take() {
                    close(&mut families, name, family);
                }
                help = Some(name);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(help.take(), Some(name), "the help stands before the type");
                open = Some((name.to_owned(), Family { kind: kind.to_owned(), samples: Vec::new() }));
            } else {
                let (name, family) = open.as_mut().unwrap_or_else(|| panic!("no type before: {line}"));
                family.samples.push(sample(line, name, &family.kind));
            }
        }
        if let Some((name, family)) = open {
            close(&mut families, name, family);
        }
        Page(families)
    }

    /// The family of that name.
    pub fn family(&self, name: &str) -> &Family {
        self.0.get(name).unwrap_or_else(|| panic!("no {name} among {:?}", self.0.keys()))
    }

    /// The one value of a family without labels, which has this type.
    pub fn value(&self, name: &str, kind: &str) -> f64 {
        let family = self.family(name);
        assert_eq!(family.kind, kind, "{name}");
        let [(_, labels, value)] = &family.samples[..] else { panic!("{name} has several values") };
        assert_eq!(labels, "", "{name}");
        *value
    }

    pub fn counter(&self, name: &str) -> f64 {
        self.value(name, "counter")
    }

    pub fn gauge(&self, name: &str) -> f64 {
        self.value(name, "gauge")
    }

    /// A counter's value for one value of a label, `command="ping"`; 0 if there is none.
    pub fn counter_of(&self, name: &str, label: &str) -> f64 {
        let family = self.family(name);
        assert_eq!(family.kind, "counter", "{name}");
        let found = family.samples.iter().find(|(_, labels, _)| labels == label);
        found.map_or(0.0, |(_, _, value)| *value)
    }

    /// How many durations a histogram has noted, and their sum, with these labels or none.
    pub fn durations(&self, name: &str, label: &str) -> (f64, f64) {
        let family = self.family(name);
        assert_eq!(family.kind, "histogram", "{name}");
        let of = |suffix: &str| {
            let wanted = format!("{name}{suffix}");
            let mut found =
                family.samples.iter().filter(|(name, labels, _)| *name == wanted && labels == label);
            found.next().unwrap_or_else(|| panic!("no {wanted}{{{label}}}")).2
        };
        (of("_count"), of("_sum"))
    }
}

fn is_name(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b':';
    text.bytes().all(fine) && text.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

fn sample(line: &str, family: &str, kind: &str) -> (String, String, f64) {
    let (head, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    assert!(value.is_finite(), "{line}");
    assert!(kind != "counter" || value >= 0.0, "{line}");
    let (name, labels) = match head.split_once('{') {
        Some((name, labels)) => {
            (name, labels.strip_suffix('}').unwrap_or_else(|| panic!("open braces: {line}")))
        }
        None => (head, ""),
    };
    let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("`{line}` stands in {family}"));
    let allowed: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
    assert!(is_name(name) && allowed.contains(&suffix), "{line}");
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (name, text) = label.split_once('=').unwrap_or_else(|| panic!("no label: {line}"));
        let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let text = text.unwrap_or_else(|| panic!("no quotes: {line}"));
        assert!(is_name(name) && !text.contains(['"', '\\', '\n']), "{line}");
    }
    (name.to_owned(), labels.to_owned(), value)
}

fn close(families: &mut BTreeMap<String, Family>, name: String, family: Family) {
    let mut seen = BTreeSet::new();
    for (name, labels, _) in &family.samples {
        assert!(seen.insert((name.clone(), labels.clone())), "{name}{{{labels}}} stands twice");
    }
    if family.kind == "histogram" {
        check_buckets(&name, &family);
    }
    assert!(families.insert(name.clone(), family).is_none(), "{name} stands twice");
}

/// Bounds and counts rise, and the last bucket holds all.
fn check_buckets(name: &str, family: &Family) {
    let mut rows: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    let (mut counts, mut sums) = (BTreeMap::new(), BTreeSet::new());
    for (sample, labels, value) in &family.samples {
        match sample.strip_prefix(name) {
            Some("_bucket") => {
                let (before, bound) = labels.rsplit_once("le=").unwrap_or_else(|| panic!("no le: {labels}"));
                let bound = bound.trim_matches('"').parse().unwrap();
                rows.entry(before.trim_end_matches(',').to_owned()).or_default().push((bound, *value));
            }
            Some("_count") => drop(counts.insert(labels.clone(), *value)),
            _ => drop(sums.insert(labels.clone())),
        }
    }
    assert_eq!(rows.len(), counts.len(), "{name}");
    for (labels, buckets) in rows {
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name}: {buckets:?}");
        let (bound, count) = *buckets.last().unwrap();
        assert!(bound == f64::INFINITY && counts[&labels] == count && sums.contains(&labels), "{name}");
    }
}
