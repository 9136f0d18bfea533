//! Just enough understanding of Rust text: which lines are production, which are an inline test module, which are
//! functions under a test attribute.

/// The lines of a file, split in two.
pub struct Split<'a> {
    /// Lines outside inline test modules, with their numbers from 1.
    pub production: Vec<(usize, &'a str)>,
    /// How many lines the inline test modules have.
    pub tests: usize,
}

/// Splits off `#[cfg(test)] mod … { … }`. Relies on rustfmt: such a module ends at the first line that is a lone `}`
/// at the module's own indentation.
pub fn split(text: &str) -> Split<'_> {
    let mut split = Split { production: Vec::new(), tests: 0 };
    let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line)).peekable();
    while let Some((number, line)) = lines.next() {
        let opens = line.trim() == "#[cfg(test)]"
            && lines
                .peek()
                .is_some_and(|(_, next)| next.trim_start().starts_with("mod ") && next.ends_with('{'));
        if !opens {
            split.production.push((number, line));
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
        split.tests += 1;
        for (_, inner) in lines.by_ref() {
            split.tests += 1;
            if inner == end {
                break;
            }
        }
    }
    split
}

/// Whether the text has a function of that name under an attribute that makes it a test.
pub fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(i, line)| {
        let above = lines[..i].iter().rev().take_while(|l| l.starts_with("#[") || l.starts_with("//"));
        is_function(line, name) && above.into_iter().any(|l| is_test_attribute(l))
    })
}

/// Whether the text has a function of that name at all.
pub fn has_function(text: &str, name: &str) -> bool {
    text.lines().any(|line| is_function(line.trim(), name))
}

fn is_function(line: &str, name: &str) -> bool {
    let Some((before, after)) = line.split_once("fn ") else { return false };
    let only_modifiers =
        before.split_whitespace().all(|w| w.starts_with("pub") || matches!(w, "async" | "const"));
    let rest = after.strip_prefix(name);
    only_modifiers && rest.is_some_and(|rest| rest.starts_with('(') || rest.starts_with('<'))
}

fn is_test_attribute(line: &str) -> bool {
    line.starts_with("#[test]") || line.starts_with("#[tokio::test")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "//! x\nfn a() {\n}\n#[cfg(test)]\nmod tests {\n    #[tokio::test]\n    async fn b() {\n    }\n}\nfn c() {}\n";

    #[test]
    fn inline_tests_are_not_production() {
        let split = split(TEXT);
        let numbers: Vec<usize> = split.production.iter().map(|(number, _)| *number).collect();
        assert_eq!((numbers, split.tests), (vec![1, 2, 3, 10], 6));
    }

    #[test]
    fn a_test_is_told_from_a_function() {
        assert!(has_test(TEXT, "b"));
        assert!(!has_test(TEXT, "a"));
        assert!(!has_test(TEXT, "bb"));
        assert!(has_function(TEXT, "c"));
        assert!(!has_function("// fn c() is gone", "c"));
    }
}
