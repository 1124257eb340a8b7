//! Parser of NATS configuration files into JSON, for the part of the format that our files use.
//!
//! <https://docs.nats.io/running-a-nats-service/configuration#configuration-syntax>

use std::{iter::Peekable, vec::IntoIter};

use serde_json::{Map, Value};

#[derive(Debug, PartialEq)]
enum Token {
    /// Bracket: one of `{}[]`.
    Mark(char),
    Quoted(String),
    Bare(String),
}

/// Returns the settings of a file by key. `include` counts as a key.
///
/// # Panics
/// For syntax that our files do not use.
pub(crate) fn parse(text: &str) -> Value {
    let mut tokens = tokens(text).into_iter().peekable();
    let settings = map(&mut tokens);
    assert_eq!(tokens.next(), None, "text after the end");
    settings
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() || first == ',' || first == ':' {
            rest = &rest[1..];
        } else if first == '#' {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        } else if "{}[]".contains(first) {
            tokens.push(Token::Mark(first));
            rest = &rest[1..];
        } else if first == '"' {
            let (quoted, after) = rest[1..].split_once('"').unwrap();
            assert!(!quoted.contains(['\\', '\n']), "{quoted:?}");
            tokens.push(Token::Quoted(quoted.to_owned()));
            rest = after;
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || ",:{}[]#\"".contains(c)).unwrap_or(rest.len());
            tokens.push(Token::Bare(rest[..end].to_owned()));
            rest = &rest[end..];
        }
    }
    tokens
}

fn map(tokens: &mut Peekable<IntoIter<Token>>) -> Value {
    let mut settings = Map::new();
    while tokens.peek().is_some_and(|token| *token != Token::Mark('}')) {
        let (Token::Bare(key) | Token::Quoted(key)) = tokens.next().unwrap() else { panic!("not a key") };
        let value = value(tokens);
        assert_eq!(settings.insert(key.clone(), value), None, "{key} twice");
    }
    Value::Object(settings)
}

fn value(tokens: &mut Peekable<IntoIter<Token>>) -> Value {
    match tokens.next().unwrap() {
        Token::Quoted(text) => text.into(),
        Token::Bare(text) => match text.as_str() {
            "true" => true.into(),
            "false" => false.into(),
            text => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
        },
        Token::Mark('{') => {
            let settings = map(tokens);
            assert_eq!(tokens.next(), Some(Token::Mark('}')));
            settings
        }
        Token::Mark('[') => {
            let mut items = Vec::new();
            while tokens.peek() != Some(&Token::Mark(']')) {
                items.push(value(tokens));
            }
            tokens.next();
            items.into()
        }
        Token::Mark(mark) => panic!("{mark} is no value"),
    }
}
