//! Names of registries: `snake_case`, found with hyphens too, as they were written before version 0.1.

/// Whether `asked` names what a registry calls `known`: the same but for hyphens in place of underscores.
pub(crate) fn names(asked: &str, known: &str) -> bool {
    let spelled = |byte: u8| if byte == b'-' { b'_' } else { byte };
    asked.bytes().map(spelled).eq(known.bytes().map(spelled))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn both_spellings_name_one_thing() {
        assert!(names("ep-importance", "ep_importance") && names("ep_importance", "ep_importance"));
        assert!(!names("ep importance", "ep_importance") && !names("ep", "ep_importance") && !names("", "ep"));
    }
}
