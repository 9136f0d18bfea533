//! The simulation itself: the same seed repeats a run, committed seeds find nothing any more, the judge sees.
