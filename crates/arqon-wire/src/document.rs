//! docs/protocol.md against the code: its examples are understood, its tables are complete.

use crate::field::Field;
use crate::json::{Decoder, client};
use arqon_core::Code;
use bytes::Bytes;

const DOCUMENT: &str = include_str!("../../../docs/protocol.md");

/// The lines of all fenced blocks of a kind.
fn examples(kind: &str) -> Vec<Bytes> {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in DOCUMENT.lines() {
        match line.strip_prefix("```") {
            Some(info) => inside = info == kind,
            None if inside => lines.push(Bytes::from(line)),
            None => {}
        }
    }
    lines
}

#[test]
fn every_example_is_understood() {
    let (sent, said) = (examples("json client"), examples("json server"));
    assert!(sent.len() >= 8 && said.len() >= 6, "{} {}", sent.len(), said.len());
    for line in sent {
        if let Err(rejected) = Decoder::default().decode(&line) {
            panic!("{line:?}: {}", rejected.error);
        }
    }
    for line in said {
        if let Err(error) = client::decode(&line) {
            panic!("{line:?}: {error}");
        }
    }
}

#[test]
fn every_example_of_the_older_protocol_is_understood() {
    let (sent, said) = (examples("json older client"), examples("json older server"));
    assert!(sent.len() >= 4 && said.len() >= 3, "{} {}", sent.len(), said.len());
    for line in sent {
        if let Err(rejected) = crate::older::decode(crate::Form::OlderJson, &line) {
            panic!("{line:?}: {rejected:?}");
        }
    }
    for line in said {
        let said: serde_json::Value = serde_json::from_slice(&line).unwrap();
        for name in ["id", "type", "version", "timestamp", "payload", "args", "metadata"] {
            assert!(said.get(name).is_some(), "{name}: {said}");
        }
    }
}

#[test]
fn every_field_and_every_code_is_explained() {
    for field in Field::ALL {
        assert!(DOCUMENT.contains(&format!("`{}`", field.name())), "{}", field.name());
    }
    for code in Code::ALL {
        assert!(DOCUMENT.contains(&format!("\n| `{}` |", code.as_str())), "{}", code.as_str());
    }
}
