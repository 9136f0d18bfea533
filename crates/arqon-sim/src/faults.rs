//! What can go wrong, each with its own switch.
//!
//! Invariant: a fault that is switched off never happens, and whether another one happens does not depend on it.

use std::fmt;

macro_rules! faults {
    ($($name:ident: $text:literal, $doc:literal;)*) => {
        /// One kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault { $(#[doc = $doc] $name,)* }

        impl Fault {
            /// All of them.
            pub const ALL: &[Fault] = &[$(Fault::$name,)*];

            /// The name on the command line.
            pub const fn as_str(self) -> &'static str {
                match self { $(Fault::$name => $text,)* }
            }

            /// What it is, for people.
            pub const fn what(self) -> &'static str {
                match self { $(Fault::$name => $doc,)* }
            }
        }
    };
}

faults! {
    Kill: "kill", "The server dies between or inside two changes of the disk; what the kernel holds stays.";
    Power: "power", "The machine dies: unflushed writes are lost, torn by sector or kept out of order; unflushed names are lost.";
    Flip: "flip", "Bits flip at rest, while the server is down.";
    SyncFail: "sync-fail", "Flushes fail, and the kernel takes what was not written for clean.";
    WriteFail: "write-fail", "Writes and other changes of the disk fail, some of them half done.";
    SlowDisk: "slow-disk", "Writes take up to seconds.";
    Full: "full", "The disk is full for a while.";
    Records: "records", "Documents cannot be written for a while.";
    Cut: "cut", "Connections are cut at any byte; what was under way may arrive later.";
    Silence: "silence", "Connections go silent in one or both directions; nobody is told.";
    Stall: "stall", "Connections stand still for seconds.";
    Clock: "clock", "The server's wall clock jumps both ways, by up to two hours.";
    Slow: "slow", "Subscribers are slow or stop for a while.";
    Clients: "clients", "Clients die and begin again.";
    Takeover: "takeover", "Durable names are taken over while they are held.";
    Reject: "reject", "Deliveries are rejected, or not acknowledged in time.";
    Trim: "trim", "Retention removes records all the time.";
}

impl Fault {
    /// The fault with this name.
    pub fn parse(name: &str) -> Option<Fault> {
        Fault::ALL.iter().copied().find(|fault| fault.as_str() == name)
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults(u32);

impl Faults {
    /// None.
    pub const NONE: Faults = Faults(0);

    /// All of them.
    pub fn all() -> Self {
        Fault::ALL.iter().fold(Faults::NONE, |set, fault| set.with(*fault))
    }

    /// Reads `all`, `none` or names joined by commas.
    ///
    /// # Errors
    /// A name is not known; the message lists those that are.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "all" => return Ok(Faults::all()),
            "none" => return Ok(Faults::NONE),
            _ => {}
        }
        text.split(',').try_fold(Faults::NONE, |set, name| {
            let fault = Fault::parse(name.trim()).ok_or_else(|| {
                let known: Vec<&str> = Fault::ALL.iter().map(|f| f.as_str()).collect();
                format!("`{name}` is not a fault; there are: all, none, {}", known.join(", "))
            })?;
            Ok(set.with(fault))
        })
    }

    /// Whether a fault is in it.
    pub const fn has(self, fault: Fault) -> bool {
        self.0 & fault.bit() != 0
    }

    /// With one more.
    #[must_use]
    pub const fn with(self, fault: Fault) -> Self {
        Faults(self.0 | fault.bit())
    }

    /// With one less.
    #[must_use]
    pub const fn without(self, fault: Fault) -> Self {
        Faults(self.0 & !fault.bit())
    }

    /// Those in it.
    pub fn list(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.iter().copied().filter(move |fault| self.has(*fault))
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Faults::NONE {
            return f.write_str("none");
        }
        let names: Vec<&str> = self.list().map(Fault::as_str).collect();
        f.write_str(&names.join(","))
    }
}
