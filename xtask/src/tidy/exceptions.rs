//! `tidy-exceptions.txt`: one line for each complaint that we live with: `RULE PATH why`.

use super::tree::Tree;
use super::{Complaint, RULES};

const LIST: &str = "tidy-exceptions.txt";

/// Takes away what the list excuses, and complains about lines that excuse nothing.
pub fn apply(tree: &Tree, complaints: Vec<Complaint>) -> Vec<String> {
    let text = tree.find(LIST).map_or("", |file| file.text.as_str());
    let mut lines: Vec<(&str, bool)> =
        text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).map(|line| (line, false)).collect();
    let mut left = Vec::new();
    for complaint in complaints {
        let prefix = format!("{} {} ", complaint.rule, complaint.path);
        match lines.iter_mut().find(|(line, _)| line.starts_with(&prefix) && line.len() > prefix.len()) {
            Some((_, used)) => *used = true,
            None => left.push(format!("{}: [{}] {}", complaint.path, complaint.rule, complaint.text)),
        }
    }
    for (line, _) in lines.iter().filter(|(_, used)| !used) {
        let known = RULES.iter().any(|rule| line.starts_with(rule));
        let what = if known { "excuses nothing any more" } else { "does not begin with a rule" };
        left.push(format!("{LIST}: [exception] `{line}` {what}: take it out"));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::super::tree::File;
    use super::*;

    #[test]
    fn a_line_excuses_one_rule_at_one_path_and_must_be_used() {
        let text = "# why\nsize a.rs a table\nsize b.rs gone\n".to_owned();
        let tree = Tree { files: vec![File { path: LIST.to_owned(), text }] };
        let complaints =
            vec![Complaint::new("size", "a.rs", "long"), Complaint::new("opening", "a.rs", "lacks it")];
        let left = apply(&tree, complaints);
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(left[0].contains("[opening]") && left[1].contains("b.rs"), "{left:?}");
    }
}
