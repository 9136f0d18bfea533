//! The document for people: one page without scripts, so that it works everywhere and can do nothing.

use super::description;
use arqon_core::operations::{self, Category, Operation};

const HEAD: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Arqon: operations</title><style>
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
h2{margin-top:3rem;border-bottom:1px solid #8886}h3{margin:2rem 0 .25rem}table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #8883}
code,pre{font:14px/1.5 ui-monospace,monospace}pre{background:#8882;padding:.75rem;white-space:pre-wrap}
h3 code{font-size:inherit;font-weight:inherit}p,td,pre,h3,li{overflow-wrap:anywhere}td:nth-child(2){overflow-wrap:normal}
.facts{opacity:.75;margin:0}
nav a{display:inline-block;margin-right:1rem}nav ul{margin:.25rem 0 1rem;padding:0;list-style:none}nav li{display:inline}
</style></head><body>
<h1>Arqon: operations</h1>
<p>Every operation goes through the WebSocket at <code>/ws</code>; those with a path also through HTTP. The same as
<a href="asyncapi.json">an AsyncAPI 3 document</a>, for machines.</p>
"#;

/// The page.
pub(super) fn build() -> String {
    let mut out = HEAD.to_owned();
    out.push_str("<nav>\n");
    for (name, inside) in groups() {
        let links = inside.iter().map(|o| format!("<li><a href=\"#{0}\">{0}</a> ", o.name));
        let links: String = links.collect();
        out.push_str(&format!("<b><a href=\"#{name}\">{name}</a></b><ul>{links}</ul>\n"));
    }
    out.push_str("</nav>\n");
    for (name, inside) in groups() {
        out.push_str(&format!("<h2 id=\"{name}\">{name}</h2>\n"));
        inside.into_iter().for_each(|operation| write(&mut out, operation));
    }
    out.push_str("</body></html>\n");
    out
}

/// The groups by name, each with its operations.
fn groups() -> impl Iterator<Item = (&'static str, Vec<&'static Operation>)> {
    let of = |category| operations::all().iter().filter(move |o| o.category == category).collect();
    Category::ALL.into_iter().map(move |category| (category.as_str(), of(category)))
}

fn write(out: &mut String, operation: &Operation) {
    let Operation { name, permission, per_minute, .. } = operation;
    let rate = if *per_minute == 0 { "no limit".to_owned() } else { format!("{per_minute} a minute") };
    let right = format!("{} ({} or above)", permission.as_str(), permission.least_role().as_str());
    let path = operation.route.map(|route| format!(" · {} {}", route.method.as_str(), route.path));
    let other = operation.aliases.iter().map(|alias| format!(" · also {alias}")).collect::<String>();
    out.push_str(&format!(
        "<h3 id=\"{name}\"><code>{name}</code></h3>\n<p>{}</p>\n",
        prose(operation.summary)
    ));
    let facts = format!("{right} · {rate}{}{other}", path.unwrap_or_default());
    out.push_str(&format!("<p class=\"facts\">{}</p>\n", escape(&facts)));
    if !operation.args.is_empty() {
        out.push_str("<table><tr><th>argument<th>type<th>meaning</tr>\n");
    }
    for arg in operation.args {
        let needed = if arg.required { "" } else { ", optional" };
        let cells = (escape(arg.name), arg.kind.as_str(), prose(arg.doc));
        out.push_str(&format!(
            "<tr><td><code>{}</code><td>{}{needed}<td>{}</tr>\n",
            cells.0, cells.1, cells.2
        ));
    }
    if !operation.args.is_empty() {
        out.push_str("</table>\n");
    }
    let mut lines = description(operation);
    if !lines.is_empty() {
        lines = prose(&lines).replace("\n- ", "<br>");
        out.push_str(&format!("<p>{lines}</p>\n"));
    }
    let example = format!("{{\"type\":\"command\",\"command\":\"{name}\",\"args\":{}}}", operation.example);
    out.push_str(&format!("<pre>{}</pre>\n", escape(&example)));
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Text with code in backquotes.
fn prose(text: &str) -> String {
    let parts = escape(text);
    let parts = parts.split('`').enumerate();
    parts.map(|(i, part)| if i % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_on_the_page_and_nothing_of_it_is_markup() {
        let page = build();
        for operation in operations::all() {
            assert!(page.contains(&format!("<h3 id=\"{}\">", operation.name)), "{}", operation.name);
            let link = format!("<a href=\"#{}\">", operation.name);
            assert_eq!(page.matches(&link).count(), 1, "{link}");
        }
        assert_eq!(prose("a `<b>` & c"), "a <code>&lt;b&gt;</code> &amp; c");
        assert_eq!(page.matches("<code>").count(), page.matches("</code>").count());
        assert!(!page.contains("<script"));
    }
}
