//! What a frame is called on a picture, and which layer it belongs to.
//!
//! Invariant: a name depends on the symbol alone, so that the same function is the same frame in every stack.

/// Where time is spent, from the outside in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// System calls, interrupts, page faults.
    Kernel,
    /// Connections: the WebSocket and HTTP doors and what is below them.
    Socket,
    /// Envelopes into bytes and back.
    Codec,
    /// The bus: rights, rooms, subscriptions.
    Core,
    /// The log and the records on disk.
    Log,
    /// Getting and giving back memory.
    Allocator,
    /// Tasks, timers, threads, and what is nobody's.
    Runtime,
}

impl Layer {
    /// All, in the order of legends and tables.
    pub const ALL: [Layer; 7] = [
        Layer::Kernel,
        Layer::Socket,
        Layer::Codec,
        Layer::Core,
        Layer::Log,
        Layer::Allocator,
        Layer::Runtime,
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Layer::Kernel => "kernel",
            Layer::Socket => "socket",
            Layer::Codec => "codec",
            Layer::Core => "core",
            Layer::Log => "log",
            Layer::Allocator => "allocator",
            Layer::Runtime => "runtime",
        }
    }

    /// Its place in [`Layer::ALL`].
    pub fn place(self) -> usize {
        self as usize
    }
}

/// What a folded frame of the kernel ends with.
pub const KERNEL: &str = "_[k]";

/// Crates and prefixes of C functions, and whose they are. What is not here belongs to whoever called it.
const OWNERS: &[(&str, Layer)] = &[
    ("arqon_ws", Layer::Socket),
    ("arqon_rest", Layer::Socket),
    ("hyper", Layer::Socket),
    ("hyper_util", Layer::Socket),
    ("mio", Layer::Socket),
    ("axum", Layer::Socket),
    ("rustls", Layer::Socket),
    ("tokio_rustls", Layer::Socket),
    ("tokio::net", Layer::Socket),
    ("std::net", Layer::Socket),
    ("arqon_wire", Layer::Codec),
    ("serde", Layer::Codec),
    ("serde_json", Layer::Codec),
    ("prost", Layer::Codec),
    ("arqon_core", Layer::Core),
    ("arqon_store_embedded", Layer::Log),
    ("fjall", Layer::Log),
    ("lsm_tree", Layer::Log),
    ("crc32c", Layer::Log),
    ("crc32fast", Layer::Log),
    ("std::fs", Layer::Log),
    ("tokio", Layer::Runtime),
    ("tokio_util", Layer::Runtime),
    ("arqon_server", Layer::Runtime),
    ("arqon", Layer::Runtime),
    ("tracing", Layer::Runtime),
    ("tracing_core", Layer::Runtime),
    ("std::thread", Layer::Runtime),
    ("alloc::alloc", Layer::Allocator),
    ("mimalloc", Layer::Allocator),
    ("libmimalloc_sys", Layer::Allocator),
    ("__rust_alloc", Layer::Allocator),
    ("__rust_dealloc", Layer::Allocator),
    ("__rust_realloc", Layer::Allocator),
    ("malloc", Layer::Allocator),
    ("free", Layer::Allocator),
];

/// Ways from a thread to its work, and from a call to the system's: each stands under everything and says nothing.
const WRAPPERS: &[&str] = &[
    "clone3",
    "start_thread",
    "core::ops::function::Fn",
    "std::sys::backtrace::",
    "<std::sys::thread::",
    "std::thread::",
    "std::panic",
    "core::panic::",
    "<core::panic::",
    "<core::pin::Pin",
    "core::iter::",
    "<core::iter::",
    "std::sync::once",
    "<std::sys::sync::once",
    "tokio::runtime::task::core::Core",
    "tokio::runtime::task::harness::Harness",
    "tokio::runtime::task::raw::poll",
    "tokio::runtime::blocking::",
    "tokio::runtime::context::",
    "tokio::runtime::scheduler::multi_thread::worker::run",
    "tokio::runtime::scheduler::multi_thread::worker::Context::run",
    "<tokio_util::task::task_tracker::TrackedFuture",
    "<&std::os::unix::net::",
    "<&mio::net::",
    "<hyper::common::io::rewind::",
    "<hyper_util::rt::tokio::",
    "<std::fs::File as std::os::unix::fs::FileExt>",
    "<&std::fs::File as std::io::",
    "__send",
    "__libc_",
    "__GI___libc_",
    "syscall",
    "epoll_wait",
];

/// The kernel's own way to a system call.
const ENTRIES: &[&str] = &["entry_SYSCALL_64", "do_syscall_64", "x64_sys_call"];

/// A frame as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its short name.
    pub name: String,
    /// Its layer; `None`: that of whoever called it.
    pub layer: Option<Layer>,
}

/// How a folded frame is shown; `None` if it only leads on. `is_last`: nothing was called from it.
pub fn show(frame: &str, is_last: bool) -> Option<Shown> {
    if let Some(symbol) = frame.strip_suffix(KERNEL) {
        return kernel(symbol, is_last);
    }
    if WRAPPERS.iter().any(|wrapper| frame.starts_with(wrapper)) {
        return None;
    }
    Some(Shown { name: shorten(frame), layer: owner(frame) })
}

fn kernel(symbol: &str, is_last: bool) -> Option<Shown> {
    let is_entry = ENTRIES.iter().any(|entry| symbol.starts_with(entry));
    if is_entry && !is_last {
        return None;
    }
    let symbol = symbol.split('.').next().unwrap_or(symbol);
    let name = match symbol.strip_prefix("__x64_sys_").or(symbol.strip_prefix("__do_sys_")) {
        _ if is_entry => "system call",
        Some(call) => call,
        None if symbol.contains("page_fault") => "page fault",
        None if symbol.contains("interrupt") || symbol.contains("sysvec_") => "interrupt",
        None => symbol.trim_start_matches('_'),
    };
    Some(Shown { name: name.to_owned(), layer: Some(Layer::Kernel) })
}

/// The function's name with its type or module: `arqon_ws::session::Session<S>::fill` → `Session::fill`.
pub fn shorten(symbol: &str) -> String {
    if let Some(dropped) = symbol.strip_prefix("core::ptr::drop_in_place") {
        return format!("drop {}", type_name(inside(dropped)));
    }
    if !symbol.contains("::") {
        let plain = symbol.split(['.', '@']).next().unwrap_or(symbol).trim_start_matches('_');
        let copies = ["memmove", "memcpy", "memset", "memcmp"];
        let found = copies.into_iter().find(|copy| plain.starts_with(copy));
        return found.unwrap_or(plain).to_owned();
    }
    let mut parts: Vec<String> = Vec::new();
    for part in split(symbol, "::") {
        match part.strip_prefix('<') {
            Some(_) if parts.is_empty() || part.starts_with("<impl ") => parts.push(self_type(inside(part))),
            // Arguments of the function before it.
            Some(_) => {}
            None if part.starts_with("{{") || part.starts_with("{closure") || part.starts_with("{impl") => {}
            None if is_hash(part) => {}
            None => parts.push(plain(part).to_owned()),
        }
    }
    let from = parts.len().saturating_sub(2);
    parts[from..].join("::")
}

/// `h0123456789abcdef`, which tells instances apart.
fn is_hash(part: &str) -> bool {
    part.len() == 17 && part.starts_with('h') && part[1..].bytes().all(|b| b.is_ascii_hexdigit())
}

/// The name without its arguments.
fn plain(part: &str) -> &str {
    let part = part.split('<').next().unwrap_or(part);
    part.split("{{").next().unwrap_or(part)
}

/// What stands between the first `<` and its partner.
fn inside(text: &str) -> &str {
    let Some(text) = text.strip_prefix('<') else { return text };
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        depth += step(text, at, c);
        if depth == 0 {
            return &text[..at];
        }
    }
    text
}

/// How a letter changes the depth of brackets; an arrow does not.
fn step(text: &str, at: usize, c: char) -> i32 {
    match c {
        '<' | '(' | '[' => 1,
        '>' if text[..at].ends_with('-') => 0,
        '>' | ')' | ']' => -1,
        _ => 0,
    }
}

/// Cuts where the separator stands outside all brackets.
fn split<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let (mut parts, mut begin, mut depth) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        if depth == 0 && at >= begin && text[at..].starts_with(separator) {
            parts.push(&text[begin..at]);
            begin = at + separator.len();
        }
        depth += step(text, at, c);
    }
    parts.push(&text[begin..]);
    parts
}

/// `X as Trait`, `impl X`, `impl Trait for X` → the name of X.
fn self_type(text: &str) -> String {
    type_name(self_text(text))
}

fn self_text(text: &str) -> &str {
    let text = split(text, " as ")[0];
    let Some(implemented) = text.strip_prefix("impl ") else { return text };
    split(implemented, " for ").last().copied().unwrap_or(implemented)
}

/// A type's last name; what only wraps another is that other.
fn type_name(text: &str) -> String {
    let text = bare(text);
    let last = split(text, "::").last().copied().unwrap_or(text);
    let name = plain(last);
    let argument = last.find('<').map(|at| split(inside(&last[at..]), ",")[0]);
    match argument {
        Some(argument) if is_wrapping(name) && argument.contains("::") => type_name(argument),
        _ => name.to_owned(),
    }
}

fn is_wrapping(name: &str) -> bool {
    matches!(name, "Arc" | "Box" | "Pin" | "Option" | "ManuallyDrop" | "ArcInner" | "Result" | "Vec")
}

/// Without what stands before a type.
fn bare(text: &str) -> &str {
    let before = ["&", "*const ", "*mut ", "mut ", "dyn ", "["];
    let stripped = before.iter().find_map(|word| text.strip_prefix(word));
    stripped.map_or(text, bare)
}

/// The layer of a function of ours or of a library.
fn owner(symbol: &str) -> Option<Layer> {
    if !symbol.contains("::") {
        let plain = symbol.trim_start_matches('_');
        let is_allocator = plain.starts_with("mi_") || OWNERS.iter().any(|(name, _)| *name == symbol);
        return is_allocator.then_some(Layer::Allocator);
    }
    if let Some(dropped) = symbol.strip_prefix("core::ptr::drop_in_place") {
        return known(wrapped(inside(dropped)));
    }
    let first = split(symbol, "::")[0];
    if first.starts_with('<') {
        let text = inside(first);
        // A trait of ours for a type of nobody's is ours.
        let of_trait = || split(text, " as ").get(1).and_then(|name| known(name));
        return known(wrapped(self_text(text))).or_else(of_trait);
    }
    known(symbol)
}

/// The type inside what only wraps it.
fn wrapped(text: &str) -> &str {
    let text = bare(text);
    let last = split(text, "::").last().copied().unwrap_or(text);
    match last.find('<') {
        Some(at) if is_wrapping(plain(last)) => wrapped(split(inside(&last[at..]), ",")[0]),
        _ => text,
    }
}

fn known(path: &str) -> Option<Layer> {
    let is_of = |name: &str| path.strip_prefix(name).is_some_and(|rest| rest.starts_with("::"));
    OWNERS.iter().find(|(name, _)| is_of(name)).map(|(_, layer)| *layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short() {
        for (symbol, short) in [
            ("arqon_ws::session::reading::<impl arqon_ws::session::Session<S>>::fill", "Session::fill"),
            ("<arqon_ws::session::Session<S> as core::future::future::Future>::poll", "Session::poll"),
            ("arqon_ws::door::upgrade::{{closure}}", "door::upgrade"),
            ("alloc::sync::Arc<T,A>::drop_slow", "Arc::drop_slow"),
            ("<&mio::net::tcp::stream::TcpStream as std::io::Read>::read", "TcpStream::read"),
            (
                "<alloc::vec::Vec<T> as alloc::vec::spec_from_iter::SpecFromIter<T,I>>::from_iter",
                "Vec::from_iter",
            ),
            ("core::ptr::drop_in_place<alloc::sync::Arc<arqon_core::record::Record>>", "drop Record"),
            (
                "x::handle::<impl t::Schedule for alloc::sync::Arc<x::handle::Handle>>::schedule",
                "Handle::schedule",
            ),
            ("a::b<fn(a::X) -> b::Y>::run::h0123456789abcdef", "b::run"),
            ("<std::fs::File>::sync_data", "File::sync_data"),
            ("arqon_wire::text::position", "text::position"),
            ("__memmove_avx512_unaligned_erms", "memmove"),
            ("clock_gettime@@GLIBC_2.17", "clock_gettime"),
            ("_mi_page_malloc_zero", "mi_page_malloc_zero"),
        ] {
            assert_eq!(shorten(symbol), short, "{symbol}");
        }
    }

    #[test]
    fn layers_are_known_by_the_crate() {
        for (symbol, layer) in [
            ("arqon_wire::json::decode::Decoder::decode", Some(Layer::Codec)),
            (
                "<arqon_store_embedded::log::EmbeddedLog as arqon_core::port::log::Log>::read",
                Some(Layer::Log),
            ),
            ("core::ptr::drop_in_place<alloc::boxed::Box<arqon_core::bus::Outgoing>>", Some(Layer::Core)),
            ("tokio::net::tcp::stream::TcpStream::poll_write_priv", Some(Layer::Socket)),
            ("tokio::runtime::io::driver::Driver::turn", Some(Layer::Runtime)),
            ("_mi_malloc_generic", Some(Layer::Allocator)),
            ("alloc::raw_vec::RawVecInner<A>::finish_grow", None),
            ("__memmove_avx512_unaligned_erms", None),
        ] {
            assert_eq!(owner(symbol), layer, "{symbol}");
        }
    }

    #[test]
    fn what_only_leads_on_is_not_shown() {
        assert_eq!(show("core::ops::function::FnOnce::call_once{{vtable.shim}}", false), None);
        assert_eq!(show("do_syscall_64_[k]", false), None);
        let name = |frame: &str| show(frame, true).map(|shown| shown.name);
        assert_eq!(name("do_syscall_64_[k]").as_deref(), Some("system call"), "its own time is the kernel's");
        assert_eq!(name("__x64_sys_sendto_[k]").as_deref(), Some("sendto"));
        assert_eq!(name("finish_task_switch.isra.0_[k]").as_deref(), Some("finish_task_switch"));
        assert_eq!(name("asm_exc_page_fault_[k]").as_deref(), Some("page fault"));
    }
}
