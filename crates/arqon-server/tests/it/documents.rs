//! The manual of the HTTP door names what there is, and nothing else.

#[test]
fn every_endpoint_is_in_the_manual_and_nothing_else_is() {
    let manual = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/http.md")).unwrap();
    let known: Vec<String> =
        arqon_rest::endpoints().iter().map(|e| format!("{} {}", e.method, e.path)).collect();
    for endpoint in &known {
        assert!(manual.contains(&format!("`{endpoint}`")), "{endpoint} is not in docs/http.md");
    }
    let named = manual.split('`').filter(|code| {
        ["GET /", "POST /", "PUT /", "DELETE /"].iter().any(|method| code.starts_with(method))
            && !code.contains('\n')
    });
    for code in named {
        assert!(
            known.iter().any(|endpoint| endpoint == code),
            "docs/http.md names `{code}`, which does not exist"
        );
    }
}

#[test]
fn every_code_is_in_the_table_at_its_status() {
    let manual = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/http.md")).unwrap();
    for code in arqon_core::Code::ALL {
        let status = arqon_rest::status_of(code).as_u16();
        let row = manual.lines().find(|line| line.starts_with(&format!("| {status} |")));
        assert!(
            row.is_some_and(|row| row.contains(&format!("`{}`", code.as_str()))),
            "{status} {}",
            code.as_str()
        );
    }
}
