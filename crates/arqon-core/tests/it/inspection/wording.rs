//! The places in which texts stand in messages of agents.

use super::Dice;

const BEFORE: &[&str] = &[
    "here it is: ",
    "deploy log line 42 ",
    "please use ",
    "I ran the tool and it printed ",
    "the answer was ",
    "",
    "found in the repository: ",
    "note to self ",
    "retrying with ",
    "Schlüssel für später: ",
];
const AFTER: &[&str] =
    &["", " and nothing else", ", keep going", " (from yesterday)", "; done", "\nnext line", " ✓"];
const NEUTRAL: &[&str] =
    &["text", "output", "body", "content", "line", "message", "stdout", "value", "data", "note"];

/// A JSON string.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The same with one of its letters written as an escape.
fn spelt_out(dice: &mut Dice, text: &str) -> String {
    let plain = quoted(text);
    let letters: Vec<usize> =
        plain.char_indices().filter(|(_, c)| c.is_ascii_alphanumeric()).map(|(i, _)| i).collect();
    // Not behind a backslash, where a letter is an escape already.
    let fit: Vec<usize> = letters.into_iter().filter(|i| plain.as_bytes()[i - 1] != b'\\').collect();
    if fit.is_empty() {
        return plain;
    }
    let at = fit[dice.below(fit.len())];
    let code = format!("\\u{:04x}", plain.as_bytes()[at]);
    format!("{}{code}{}", &plain[..at], &plain[at + 1..])
}

/// A text as it stands alone, in prose, or deep in a message; sometimes spelt out.
pub(crate) fn anywhere(dice: &mut Dice, text: &str) -> String {
    let text = match dice.below(3) {
        0 => text.to_owned(),
        _ => format!("{}{text}{}", dice.pick(BEFORE), dice.pick(AFTER)),
    };
    let string = if dice.below(8) == 0 { spelt_out(dice, &text) } else { quoted(&text) };
    value(dice, &string)
}

/// A JSON value in a message.
pub(crate) fn value(dice: &mut Dice, json: &str) -> String {
    let name = dice.pick(NEUTRAL);
    match dice.below(5) {
        0 => format!("{{\"{name}\":{json}}}"),
        1 => format!(
            "{{\"agent\":\"planner\",\"step\":{},\"{name}\" : {json} , \"ok\":true}}",
            dice.below(100)
        ),
        2 => format!("{{\"events\":[{{\"n\":1}},{{\"{name}\":[null,{json}]}}]}}"),
        3 => format!("{{\"a\":{{\"b\":{{\"c\":{{\"{name}\":{json}}}}}}},\"z\":[1,2.5,-3e9]}}"),
        _ => format!("[{json}]"),
    }
}

/// A member of that name in a message.
pub(crate) fn member(dice: &mut Dice, name: &str, text: &str) -> String {
    let string = if dice.below(8) == 0 { spelt_out(dice, text) } else { quoted(text) };
    let name = if dice.below(8) == 0 { spelt_out(dice, name) } else { quoted(name) };
    let object = format!("{{\"host\":\"db1\",{name}:{string},\"port\":{}}}", dice.below(9000));
    if dice.below(4) == 0 {
        // JSON in a string, as tools print it.
        let inner = quoted(&object);
        return value(dice, &inner);
    }
    value(dice, &object)
}
