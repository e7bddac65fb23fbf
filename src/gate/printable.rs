//! Text of others (answers of commands, file names, messages of estimators) made safe to print.

/// Most characters of a foreign text that are shown; what identifies a fault stands at its beginning.
const MOST_CHARACTERS: usize = 2000;

/// `text` on one line, without characters that move the cursor, ring, change colours or turn the direction of writing: a
/// terminal, a log or a page shows what was said, and nothing that was said can pass for a line of the report.
///
/// White space becomes a blank; control characters, marks of bidirectional text and other invisible characters become
/// U+FFFD; past 2000 characters the text is cut.
pub fn printable(text: &str) -> String {
    let text = text.trim_end();
    let mut shown: String = text.chars().take(MOST_CHARACTERS).map(visible).collect();
    if text.chars().nth(MOST_CHARACTERS).is_some() {
        shown += " [cut]";
    }
    shown
}

fn visible(character: char) -> char {
    match character {
        '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
        // Marks, embeddings, overrides and isolates of bidirectional text; joiners, fillers and tags that show nothing.
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => '\u{fffd}',
        '\u{ad}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => '\u{fffd}',
        '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        _ if character.is_control() => '\u{fffd}',
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_printed_moves_a_cursor_or_begins_a_line() {
        let hostile = "a\u{1b}[31mb\u{7}c\0d\ne\r\nf\u{202e}g\u{2066}h\u{9b}i\u{2028}j\u{feff}k\u{7f}";
        let shown = printable(hostile);
        assert_eq!(shown, "a\u{fffd}[31mb\u{fffd}c\u{fffd}d e  f\u{fffd}g\u{fffd}h\u{fffd}i j\u{fffd}k\u{fffd}");
        assert!(!shown.chars().any(char::is_control));
        assert_eq!(printable("log P(f) = -3,5 μ ≤ 日本"), "log P(f) = -3,5 μ ≤ 日本", "other text stays as it is");
    }

    #[test]
    fn long_texts_are_cut() {
        let shown = printable(&"é".repeat(5000));
        assert_eq!(shown.chars().count(), MOST_CHARACTERS + " [cut]".len());
    }
}
