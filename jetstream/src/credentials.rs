//! Credentials of the system account, from the file that the servers include.
//!
//! The file is never rewritten and may define further accounts. The parser reads words, quoted texts and brackets of
//! the NATS configuration format, and no other syntax.

use std::{fmt, iter};

/// User and password of the system account. The debug output contains no password.
///
/// # Examples
///
/// ```
/// use nats_manager_jetstream::Credentials;
///
/// let content = br#"accounts: { "$SYS": { users: [ { user: "admin", password: "secret" } ] } }"#;
/// let credentials = Credentials::from_resolver_conf(content).expect("the file has a system account");
///
/// assert_eq!((credentials.user(), credentials.password()), ("admin", "secret"));
/// assert!(!format!("{credentials:?}").contains("secret"));
/// assert!(Credentials::from_resolver_conf(b"accounts: {}").is_none());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
}

/// Name of the system account, unless the file has `system_account`.
const SYSTEM_ACCOUNT: &str = "$SYS";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token<'a> {
    kind: TokenKind,
    text: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TokenKind {
    Word,
    Quoted,
    Open,
    Close,
}

/// The file has an escape sequence, an open quote, or text that is not UTF-8.
#[derive(Debug)]
struct Unsupported;

impl Credentials {
    /// Parses the text that the servers include (the Secret's `resolver.conf`). Returns `None` if the text has no user
    /// and password of the system account, or cannot be parsed.
    pub fn from_resolver_conf(content: &[u8]) -> Option<Self> {
        let tokens = tokens(content).ok()?;
        // Between two brackets are keys and values.
        let mut parts = system_account(&tokens)?.split(|token| token.is_bracket());
        parts.find_map(|part| Some(Self { user: value(part, "user")?, password: value(part, "password")? }))
    }

    /// Returns the user of the system account.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Returns the password of the system account. It must not be part of any output.
    pub fn password(&self) -> &str {
        &self.password
    }
}

/// Formats the user without the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Returns whether two texts are the same configuration for a server, apart from their layout. False if one of them
/// cannot be parsed.
pub fn is_equivalent_config(one: &[u8], other: &[u8]) -> bool {
    let (Ok(one), Ok(other)) = (tokens(one), tokens(other)) else { return false };
    let is_same =
        |(one, other): (&Token<'_>, &Token<'_>)| one.text == other.text && one.is_bracket() == other.is_bracket();
    one.len() == other.len() && one.iter().zip(&other).all(is_same)
}

impl Token<'_> {
    fn is_bracket(self) -> bool {
        matches!(self.kind, TokenKind::Open | TokenKind::Close)
    }

    fn is_text(self, text: &str) -> bool {
        self.text == text && !self.is_bracket()
    }
}

/// Finds the block of the system account.
fn system_account<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<&'t [Token<'a>]> {
    let named = tokens.windows(2).find(|pair| pair[0].is_text("system_account"));
    let name = named.map_or(SYSTEM_ACCOUNT, |pair| pair[1].text);
    let start = tokens.windows(2).position(|pair| pair[0].is_text(name) && pair[1].kind == TokenKind::Open)? + 2;
    let block = tokens.get(start..)?;
    let mut depth = 1_usize;
    let end = block.iter().position(|token| {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth -= 1,
            TokenKind::Word | TokenKind::Quoted => {}
        }
        depth == 0
    })?;
    block.get(..end)
}

/// Finds the quoted value of a key.
fn value(part: &[Token<'_>], key: &str) -> Option<String> {
    let pair = part.chunks_exact(2).find(|pair| pair[0].is_text(key))?;
    (pair[1].kind == TokenKind::Quoted && !pair[1].text.is_empty()).then(|| pair[1].text.to_owned())
}

fn tokens(content: &[u8]) -> Result<Vec<Token<'_>>, Unsupported> {
    let mut rest = std::str::from_utf8(content).map_err(|_| Unsupported)?;
    iter::from_fn(|| next(&mut rest).transpose()).collect()
}

/// Parses the next token; `None` at the end.
fn next<'a>(rest: &mut &'a str) -> Result<Option<Token<'a>>, Unsupported> {
    let is_separator = |c: char| c.is_whitespace() || [':', '=', ',', ';'].contains(&c);
    let is_bracket = |c: char| ['{', '}', '[', ']'].contains(&c);
    let mut text = rest.trim_start_matches(is_separator);
    while text.starts_with('#') || text.starts_with("//") {
        text = text.find('\n').map_or("", |end| &text[end..]).trim_start_matches(is_separator);
    }
    let Some(first) = text.chars().next() else { return Ok(None) };
    let (kind, text, after) = match first {
        '"' | '\'' => {
            let (quoted, after) = text[1..].split_once(first).ok_or(Unsupported)?;
            if quoted.contains('\\') {
                return Err(Unsupported);
            }
            (TokenKind::Quoted, quoted, after)
        }
        bracket if is_bracket(bracket) => {
            let kind = if ['{', '['].contains(&bracket) { TokenKind::Open } else { TokenKind::Close };
            (kind, &text[..1], &text[1..])
        }
        _ => {
            let end = text.find(|c| is_separator(c) || is_bracket(c)).unwrap_or(text.len());
            (TokenKind::Word, &text[..end], &text[end..])
        }
    };
    *rest = after;
    Ok(Some(Token { kind, text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_resolver_conf_returns_the_system_account() {
        for (expected, text) in [
            (
                Some(("admin", "pA1")),
                "accounts: {\n  \"$SYS\": {\n    users: [\n      {user: \"admin\", password: \"pA1\"}\n    ]\n  }\n}\n",
            ),
            (
                Some(("admin", "x")),
                "accounts: { \"$SYS\": { \"users\": [ {\"user\": \"admin\", \"password\": \"x\"} ] } }",
            ),
            (Some(("a", "b")), "accounts { $SYS { users = [ { password = 'b'\nuser = 'a' } ] } }"),
            (
                Some(("admin", "x")),
                "accounts: { ORDERS: { users: [{user: \"shop\", password: \"s\"}], exports: [{stream: \"$SYS\"}] }, \
                 \"$SYS\": { users: [{nkey: \"U\"}, {user: \"admin\", password: \"x\", permissions: {publish: [\"a\"]}}] } }\n\
                 system_account: \"$SYS\"",
            ),
            (
                Some(("user", "password")),
                "accounts { SYS { users [ {\"user\": \"user\", \"password\": \"password\"} ] } A {} }; system_account: SYS",
            ),
            (Some(("a", "b")), "# $SYS {\n// users\naccounts { $SYS { users: [{user: 'a', # it\npassword: 'b'}] } }"),
            (None, "accounts: { A: { users: [{user: \"shop\", password: \"s\"}] } }"),
            (None, "accounts: { $SYS: { users: [{user: \"a\"}, {password: \"b\"}] } }"),
            (None, "accounts: { $SYS: { users: [{user: \"a\", password: \"b"),
            (None, "accounts: { $SYS: { users: [{user: \"a\", password: \"b\\x\"}] } }"),
            (None, "accounts: { $SYS: { users: [{user: \"a\", password: $PASSWORD}] } }"),
            (None, "accounts: { users: [] }"),
            (None, "} ] $SYS"),
            (None, ""),
        ] {
            let found = Credentials::from_resolver_conf(text.as_bytes());
            let found = found.as_ref().map(|found| (found.user(), found.password()));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn layout_does_not_change_equivalence() {
        for (same, one, other) in [
            (true, "a: {b: \"c\"}", "# it\n\"a\" {\n  b = 'c'\n}\n"),
            (false, "a: {b: \"c\"}", "a: {b: \"d\"}"),
            (false, "a: {b: \"c\"}", "a: [b: \"c\"]"),
            (false, "a: {b: \"c\"}", "a: {b: \"c\"}\nd: e"),
            (false, "a: {b: \"c\"}", "a: {b: \"c"),
        ] {
            assert_eq!(is_equivalent_config(one.as_bytes(), other.as_bytes()), same, "{other}");
        }
        assert!(!is_equivalent_config(b"\"", b"\""), "an open quote is equivalent to nothing");
    }

    #[test]
    fn debug_output_has_no_password() {
        let credentials = Credentials { user: "admin".to_owned(), password: "pA1".to_owned() };
        assert!(!format!("{credentials:?}").contains("pA1"));
    }
}
