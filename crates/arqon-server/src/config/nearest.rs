//! The known name that is nearest to a mistyped one.

/// The nearest of `known` to `name`, if it is near enough to be what was meant. Names are compared whole, and
/// also by their last part, so that a key in the wrong section is found.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let last = |text: &str| text.rsplit('.').next().unwrap_or(text).to_owned();
    let wanted = last(name);
    let (cost, best) = known
        .into_iter()
        .map(|k| (distance(name, k).min(distance(&wanted, &last(k)) * 2 + 1), k))
        .min_by_key(|(cost, _)| *cost)?;
    (cost <= (name.chars().count() / 3).max(2)).then_some(best)
}

/// Edits (insert, remove, replace, swap of neighbours) that lead from one text to the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            next[j] = replace.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                next[j] = next[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_nonsense_is_not() {
        let known = ["server.listen", "server.data", "log.segment_bytes", "shutdown.drain_seconds"];
        let find = |name| nearest(name, known);
        assert_eq!(find("server.lisen"), Some("server.listen"));
        assert_eq!(find("server.lsiten"), Some("server.listen"));
        assert_eq!(find("logging.segment_bytes"), Some("log.segment_bytes"));
        assert_eq!(find("shutdown.drain_second"), Some("shutdown.drain_seconds"));
        assert_eq!(find("banana.peel"), None);
    }
}
