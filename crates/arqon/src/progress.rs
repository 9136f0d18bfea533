//! A progress bar with a rate on standard error, for input that takes a while.
//!
//! Invariant: at most one bar exists, and lines written beside it do not tear it.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

static PRESENT: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// A bar, or nothing where nobody looks.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// A bar over `total` bytes of input, or a running count where that is not known. Hidden unless standard error is a
    /// terminal; drawn at most ten times a second.
    pub(crate) fn new(wanted: bool, total: Option<u64>) -> Self {
        if !wanted {
            return Progress(None);
        }
        let template = match total {
            Some(_) => "{spinner} {msg} [{bar:24}] {percent}% ETA {eta}",
            None => "{spinner} {msg} {elapsed}",
        };
        let style = ProgressStyle::with_template(template).expect("the template is ours");
        let target = ProgressDrawTarget::stderr_with_hz(10);
        let bar = ProgressBar::with_draw_target(total, target).with_style(style.progress_chars("=> "));
        *present() = Some(bar.clone());
        Progress(Some(bar))
    }

    /// How far it is.
    pub(crate) fn set(&self, confirmed: u64, bytes: u64, elapsed: Duration) {
        let Some(bar) = &self.0 else { return };
        let rate = confirmed as f64 / elapsed.as_secs_f64().max(0.001);
        bar.set_position(bytes);
        bar.set_message(format!("{} confirmed, {}/s", grouped(confirmed), grouped(rate as u64)));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            *present() = None;
            bar.finish_and_clear();
        }
    }
}

fn present() -> std::sync::MutexGuard<'static, Option<ProgressBar>> {
    PRESENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes something while no bar is drawn.
pub(crate) fn beside(write: impl FnOnce()) {
    match present().clone() {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// A number with its thousands set apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number and what it counts, in the singular for one.
pub(crate) fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let shown: Vec<String> = [0, 999, 1000, 1_234_567].into_iter().map(grouped).collect();
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }
}
