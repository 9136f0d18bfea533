//! Everything short that is read from text: addresses, patterns, positions, ids, times, starts.
//!
//! Invariant: what is taken is written as it was read (positions and times: as something that reads the same), and a
//! pattern covers another only if it matches whatever that one matches.

use arqon_core::{Address, ChannelName, MessageId, Pattern, Position, RoomName, Target, Tenant};
use arqon_wire::{parse_start, parse_target, parse_timestamp, timestamp_text};

/// The law. A line is a name; a pattern is tried on the names of the other lines.
///
/// # Panics
/// When it is broken.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines: Vec<&str> = text.split('\n').take(6).collect();
    lines.iter().for_each(|line| one(line));
    let patterns: Vec<Pattern> = lines.iter().filter_map(|line| Pattern::parse(line).ok()).collect();
    let addresses: Vec<Address> = lines.iter().filter_map(|line| Address::parse(line).ok()).collect();
    for pattern in &patterns {
        for address in &addresses {
            fits(pattern, address, &patterns);
        }
    }
    let part = |i: usize| lines.get(i).copied().filter(|part| !part.is_empty());
    let _named_or_taken = parse_target(part(0), part(1), part(2));
}

fn fits(pattern: &Pattern, address: &Address, others: &[Pattern]) {
    let matches = |pattern: &Pattern| pattern.matches(&address.room, &address.channel);
    let matched = matches(pattern);
    assert!(!matched || pattern.matches_room(&address.room), "{pattern} {address}");
    assert_eq!(matched, pattern.covers(&Pattern::exact(address)), "{pattern} {address}");
    for other in others.iter().filter(|other| pattern.covers(other)) {
        assert!(matched || !matches(other), "{pattern} covers {other}, which matches {address}");
    }
}

fn one(text: &str) {
    if let Ok(address) = Address::parse(text) {
        assert_eq!(address.to_string(), text);
        assert_eq!(Target::parse(text).ok(), Some(Target::Channel(address)));
    }
    if let Ok(target) = Target::parse(text) {
        assert_eq!(target.to_string(), text);
    }
    if let Ok(pattern) = Pattern::parse(text) {
        assert_eq!(pattern.as_str(), text);
        assert!(pattern.covers(&pattern), "{text}");
    }
    if let Ok(room) = RoomName::parse(text) {
        assert_eq!(room.as_str(), text);
    }
    if let Ok(channel) = ChannelName::parse(text) {
        assert_eq!(channel.as_str(), text);
    }
    if let Ok(tenant) = Tenant::parse(text) {
        assert_eq!(tenant.as_str(), text);
    }
    if let Ok(id) = MessageId::parse(text) {
        assert_eq!(MessageId::parse(&id.to_string()).ok(), Some(id));
    }
    if let Ok(position) = Position::parse(text) {
        assert_eq!(Position::parse(&position.to_string()).ok(), Some(position));
    }
    if let Ok(time) = parse_timestamp("timestamp", text) {
        assert_eq!(parse_timestamp("timestamp", &timestamp_text(time)).ok(), Some(time));
    }
    let _named_or_taken = parse_start(text);
}
