//! What documents point at exists: files that are linked, functions on the way of one message.

use super::Complaint;
use super::source::has_function;
use super::tree::{File, Tree};

/// Checks every Markdown file.
pub fn check(tree: &Tree) -> Vec<Complaint> {
    let documents = tree.files.iter().filter(|file| file.path.ends_with(".md"));
    documents.flat_map(|file| links(tree, file).into_iter().chain(steps(tree, file))).collect()
}

/// Relative links of a document, from where it stands.
fn links(tree: &Tree, file: &File) -> Vec<Complaint> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let targets = file.text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let relative = targets.filter(|target| !target.contains("://") && !target.starts_with(['#', '<']));
    let paths = relative.map(|target| resolve(folder, target.split('#').next().unwrap_or(target)));
    let missing = paths.filter(|path| {
        let inside = format!("{path}/");
        !tree.files.iter().any(|known| known.path == *path || known.path.starts_with(&inside))
    });
    missing
        .map(|path| Complaint::new("link", &file.path, format!("links to {path}, which does not exist")))
        .collect()
}

fn resolve(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// Rows that end with a source file and a function, both in backquotes.
fn steps(tree: &Tree, file: &File) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for line in file.text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [.., path, name] = cells.as_slice() else { continue };
        let (Some(path), Some(name)) = (quoted(path), quoted(name)) else { continue };
        if !path.ends_with(".rs") {
            continue;
        }
        let found = tree.find(path).is_some_and(|source| has_function(&source.text, name));
        if !found {
            complaints.push(Complaint::new(
                "step",
                &file.path,
                format!("there is no function {name} in {path}"),
            ));
        }
    }
    complaints
}

fn quoted(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<&'static str> {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let files = vec![file("docs/a.md", text), file("README.md", ""), file("src/a.rs", "fn here() {}\n")];
        check(&Tree { files }).iter().map(|c| c.rule).collect()
    }

    #[test]
    fn what_is_pointed_at_must_exist() {
        assert_eq!(
            rules("[a](../README.md#x) [b](https://example.org/x) [c](#here) [d](../src)"),
            Vec::<&str>::new()
        );
        assert_eq!(rules("[a](README.md)"), ["link"]);
        assert_eq!(rules("| 1 | x | `src/a.rs` | `here` |"), Vec::<&str>::new());
        assert_eq!(rules("| 1 | x | `src/a.rs` | `gone` |"), ["step"]);
        assert_eq!(rules("| 1 | x | `src/b.rs` | `here` |"), ["step"]);
    }
}
