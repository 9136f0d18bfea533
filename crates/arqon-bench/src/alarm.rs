//! Waiting for a moment to the microsecond, which the runtime's own timer (a millisecond) cannot.

use anyhow::Result;
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// One timer of the kernel.
pub struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// A new one, inside a runtime.
    #[allow(
        deprecated,
        reason = "the newer one is unsafe; an owned descriptor stays open as long as it is registered"
    )]
    pub fn new() -> Result<Alarm> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Alarm(AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)?))
    }

    /// Returns after that time; at once if it is nothing.
    pub async fn after(&self, time: Duration) -> Result<()> {
        if time.is_zero() {
            return Ok(());
        }
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec { tv_sec: i64::try_from(time.as_secs())?, tv_nsec: time.subsec_nanos().into() };
        timerfd_settime(
            self.0.get_ref(),
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: never, it_value: value },
        )?;
        loop {
            let mut guard = self.0.readable().await?;
            let mut count = [0; 8];
            match rustix::io::read(self.0.get_ref(), &mut count) {
                Ok(_) => {
                    guard.clear_ready();
                    return Ok(());
                }
                Err(rustix::io::Errno::AGAIN) => guard.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    #[test]
    fn it_waits_as_long_as_it_was_told_and_again() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let alarm = Alarm::new().unwrap();
            for _ in 0..3 {
                let begin = now();
                alarm.after(Duration::from_micros(300)).await.unwrap();
                assert!(begin.elapsed() >= Duration::from_micros(300));
            }
            alarm.after(Duration::ZERO).await.unwrap();
        });
    }
}
