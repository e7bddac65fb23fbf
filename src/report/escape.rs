//! Text in XML, HTML and Markdown.

use crate::gate::printable;

/// `text` for XML and HTML, in content and in quoted attributes. Characters that XML has no place for are replaced.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            '\n' | '\t' => out.push(character),
            _ if character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    out
}

/// `text` as code in a cell of a Markdown table.
pub(super) fn code(text: &str) -> String {
    format!("`{}`", printable(text).replace('`', "'").replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_control_characters_do_no_harm() {
        assert_eq!(escaped("a<b & \"c\" > 'd'\u{1b}"), "a&lt;b &amp; &quot;c&quot; &gt; &#39;d&#39;\u{fffd}");
        assert_eq!(code("a|b`\nc\u{1b}"), "`a\\|b' c\u{fffd}`");
    }
}
