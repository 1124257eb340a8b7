//! User and password of the system account, from the file that the servers include.
//!
//! The file is kept whatever it says, and may have more accounts than ours. What is read of NATS'
//! format is no more than that needs: words, texts in quotes, and brackets.

use std::{fmt, iter};

/// User and password of the system account.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
}

/// The account that is the system's unless the file says otherwise.
const SYSTEM_ACCOUNT: &str = "$SYS";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Word,
    Quoted,
    Open,
    Close,
}

/// It has an escape, or no end: that is for NATS to read.
struct Unreadable;

impl Credentials {
    /// Finds user and password in the text that the servers include (the Secret's `resolver.conf`).
    pub fn from_resolver_conf(content: &[u8]) -> Option<Self> {
        let tokens = tokens(content).ok()?;
        // What is between two brackets is a list of keys and values.
        let mut parts = system_account(&tokens)?.split(|token| token.is_bracket());
        parts.find_map(|part| Some(Self { user: value(part, "user")?, password: value(part, "password")? }))
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }
}

/// Shows nothing of the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Whether two texts say the same to a server, however they are laid out.
pub fn is_equivalent(one: &[u8], other: &[u8]) -> bool {
    let (Ok(one), Ok(other)) = (tokens(one), tokens(other)) else { return false };
    let is_same =
        |(one, other): (&Token<'_>, &Token<'_>)| one.text == other.text && one.is_bracket() == other.is_bracket();
    one.len() == other.len() && one.iter().zip(&other).all(is_same)
}

impl Token<'_> {
    fn is_bracket(self) -> bool {
        matches!(self.kind, Kind::Open | Kind::Close)
    }

    fn says(self, text: &str) -> bool {
        self.text == text && !self.is_bracket()
    }
}

/// What is in the block of the system account.
fn system_account<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<&'t [Token<'a>]> {
    let named = tokens.windows(2).find(|pair| pair[0].says("system_account"));
    let name = named.map_or(SYSTEM_ACCOUNT, |pair| pair[1].text);
    let start = tokens.windows(2).position(|pair| pair[0].says(name) && pair[1].kind == Kind::Open)? + 2;
    let block = tokens.get(start..)?;
    let mut depth = 1_usize;
    let end = block.iter().position(|token| {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth -= 1,
            Kind::Word | Kind::Quoted => {}
        }
        depth == 0
    })?;
    block.get(..end)
}

/// The text in quotes that belongs to a key.
fn value(part: &[Token<'_>], key: &str) -> Option<String> {
    let pair = part.chunks_exact(2).find(|pair| pair[0].says(key))?;
    (pair[1].kind == Kind::Quoted && !pair[1].text.is_empty()).then(|| pair[1].text.to_owned())
}

fn tokens(content: &[u8]) -> Result<Vec<Token<'_>>, Unreadable> {
    let mut rest = std::str::from_utf8(content).map_err(|_| Unreadable)?;
    iter::from_fn(|| next(&mut rest).transpose()).collect()
}

/// The next one; none at the end.
fn next<'a>(rest: &mut &'a str) -> Result<Option<Token<'a>>, Unreadable> {
    let is_separator = |c: char| c.is_whitespace() || [':', '=', ',', ';'].contains(&c);
    let is_bracket = |c: char| ['{', '}', '[', ']'].contains(&c);
    let mut text = rest.trim_start_matches(is_separator);
    while text.starts_with('#') || text.starts_with("//") {
        text = text.find('\n').map_or("", |end| &text[end..]).trim_start_matches(is_separator);
    }
    let Some(first) = text.chars().next() else { return Ok(None) };
    let (kind, text, after) = match first {
        '"' | '\'' => {
            let (quoted, after) = text[1..].split_once(first).ok_or(Unreadable)?;
            if quoted.contains('\\') {
                return Err(Unreadable);
            }
            (Kind::Quoted, quoted, after)
        }
        bracket if is_bracket(bracket) => {
            let kind = if ['{', '['].contains(&bracket) { Kind::Open } else { Kind::Close };
            (kind, &text[..1], &text[1..])
        }
        _ => {
            let end = text.find(|c| is_separator(c) || is_bracket(c)).unwrap_or(text.len());
            (Kind::Word, &text[..end], &text[end..])
        }
    };
    *rest = after;
    Ok(Some(Token { kind, text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_of_the_system_account_are_found() {
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
    fn layout_does_not_matter_to_a_server() {
        for (same, one, other) in [
            (true, "a: {b: \"c\"}", "# it\n\"a\" {\n  b = 'c'\n}\n"),
            (false, "a: {b: \"c\"}", "a: {b: \"d\"}"),
            (false, "a: {b: \"c\"}", "a: [b: \"c\"]"),
            (false, "a: {b: \"c\"}", "a: {b: \"c\"}\nd: e"),
            (false, "a: {b: \"c\"}", "a: {b: \"c"),
        ] {
            assert_eq!(is_equivalent(one.as_bytes(), other.as_bytes()), same, "{other}");
        }
        assert!(!is_equivalent(b"\"", b"\""), "what cannot be read says nothing");
    }

    #[test]
    fn the_password_is_not_shown() {
        let credentials = Credentials { user: "admin".to_owned(), password: "pA1".to_owned() };
        assert!(!format!("{credentials:?}").contains("pA1"));
    }
}
