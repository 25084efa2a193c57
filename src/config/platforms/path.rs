//! Paths of URLs (RFC 3986 section 3.3), as far as every server reads them in the same way. It knows no field names.

/// What is wrong with a path, if anything is.
pub(super) fn fault_of_path(path: &str) -> Option<String> {
    let scheme = path.split_once("://").map(|(scheme, _)| scheme);
    if scheme.is_some_and(|scheme| scheme.bytes().all(|byte| byte.is_ascii_alphabetic())) {
        return Some("is a whole URL, of which only the path belongs here".to_string());
    }
    let dots = |segment: &str| segment.to_ascii_lowercase().replace("%2e", ".");
    let is_dots = |segment| matches!(dots(segment).as_str(), "." | "..");
    fault_of_letters(path, "/").or_else(|| {
        let has_dots = path.split('/').any(is_dots);
        has_dots.then(|| "has a segment . or .., which servers read in different ways".to_string())
    })
}

/// What is wrong with a query, if anything is.
pub(super) fn fault_of_query(query: &str) -> Option<String> {
    fault_of_letters(query, "/?")
}

fn fault_of_letters(text: &str, separators: &str) -> Option<String> {
    let is_foreign = |letter: &char| {
        !letter.is_ascii_alphanumeric()
            && !"-._~!$&'()*+,;=:@%".contains(*letter)
            && !separators.contains(*letter)
    };
    match text.chars().find(is_foreign) {
        Some('?' | '#') => {
            return Some("has a query or fragment, which has no place here".to_string());
        }
        Some(letter) => {
            return Some(format!(
                "holds {letter:?}, which stands in a URL only encoded"
            ));
        }
        None => {}
    }
    let is_code = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    let is_encoded = text.split('%').skip(1).all(is_code);
    (!is_encoded).then(|| "holds a % without two hexadecimal digits behind it".to_string())
}
