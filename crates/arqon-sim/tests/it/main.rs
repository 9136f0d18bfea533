//! The simulation itself: a seed repeats its run, seeds that once found something find nothing any more, and the judge
//! sees what it is there to see.

mod judging;

use arqon_sim::faults::{Fault, Faults};
use arqon_sim::plan::Scale;
use arqon_sim::regressions;
use arqon_sim::run::run;

#[test]
fn the_same_seed_gives_the_same_run_to_the_byte() {
    for seed in [3, 17, 40] {
        let (first, second) = (run(seed, &Scale::default(), true), run(seed, &Scale::default(), true));
        assert_eq!(first.lines, second.lines, "seed {seed}");
        assert_eq!(first.fingerprint, second.fingerprint, "seed {seed}: the order of the steps");
        assert!(first.lines.len() > 100, "seed {seed} does something");
    }
    let other = run(4, &Scale::default(), false).fingerprint;
    assert_ne!(run(3, &Scale::default(), false).fingerprint, other);
}

#[test]
fn without_faults_nothing_is_found() {
    let scale = Scale { faults: Faults::NONE, ..Scale::default() };
    for seed in 1..=10 {
        let outcome = run(seed, &scale, false);
        assert_eq!(outcome.violation, None, "seed {seed}");
        assert!(
            outcome.counts.1 > 0 && outcome.starts == 2,
            "seed {seed} confirms, and starts anew at the end"
        );
    }
}

#[test]
fn seeds_that_found_something_find_nothing_any_more() {
    for regression in regressions::parse(regressions::TEXT).unwrap() {
        let scale = Scale { faults: regression.faults, ..Scale::default() };
        let outcome = run(regression.seed, &scale, false);
        assert_eq!(outcome.violation, None, "seed {}: {}", regression.seed, regression.what);
    }
}

#[test]
fn a_line_of_the_list_that_cannot_be_read_is_an_error() {
    assert_eq!(regressions::parse("# nothing\n\n").unwrap(), []);
    assert!(regressions::parse("7 kill,power").is_err());
    assert!(regressions::parse("7 earthquake something").unwrap_err().contains("earthquake"));
    assert_eq!(regressions::parse("7 kill,power what it was").unwrap()[0].what, "what it was");
}

#[test]
fn what_older_clients_were_told_holds_whatever_goes_wrong() {
    // What a flipped bit takes is judged by others, who hear of positions.
    let scale = Scale { older: 2, faults: Faults::all().without(Fault::Flip), ..Scale::default() };
    let mut confirmed = 0;
    for seed in 1..=12 {
        let outcome = run(seed, &scale, true);
        assert_eq!(outcome.violation, None, "seed {seed}");
        let ours = |line: &&String| line.contains("older") && line.contains("is confirmed");
        confirmed += outcome.lines.iter().filter(ours).count();
    }
    assert!(confirmed > 200, "{confirmed} were confirmed");
}
