//! Walking over the words of a statement.

use super::super::rows::TableName;
use super::super::sql::names::{Token, tokens};

/// The words of a statement, and how far they have been read.
pub(super) struct Words {
    tokens: Vec<(usize, Token)>,
    at: usize,
}

impl Words {
    pub(super) fn of(text: &str) -> Self {
        Self { tokens: tokens(text), at: 0 }
    }

    fn token(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    /// Number of the word that comes next.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// Goes back to where [`Words::place`] was.
    pub(super) fn back_to(&mut self, place: usize) {
        self.at = place;
    }

    /// Where the next word begins in the text.
    pub(super) fn offset(&self) -> Option<usize> {
        self.tokens.get(self.at).map(|(offset, _)| *offset)
    }

    /// Passes over these keywords if they all come next.
    pub(super) fn eat(&mut self, keywords: &str) -> bool {
        let start = self.at;
        for keyword in keywords.split(' ') {
            if !self.token().is_some_and(|token| token.is(keyword)) {
                self.at = start;
                return false;
            }
            self.at += 1;
        }
        true
    }

    /// Passes over one of these, if it comes next, and says which.
    pub(super) fn one_of(&mut self, choices: &[&'static str]) -> Option<&'static str> {
        choices.iter().find(|keywords| self.eat(keywords)).copied()
    }

    /// Passes over everything up to these keywords, and over them; parentheses are passed over whole.
    pub(super) fn seek(&mut self, keywords: &str) -> bool {
        let mut depth = 0_usize;
        while let Some(token) = self.token() {
            match token {
                Token::Mark('(') => depth += 1,
                Token::Mark(')') => depth = depth.saturating_sub(1),
                _ if depth > 0 => {}
                _ => {
                    if self.eat(keywords) {
                        return true;
                    }
                }
            }
            self.at += 1;
        }
        false
    }

    pub(super) fn mark(&mut self, mark: char) -> bool {
        let there = self.token() == Some(&Token::Mark(mark));
        self.at += usize::from(there);
        there
    }

    /// An identifier.
    pub(super) fn name(&mut self) -> Option<String> {
        let name = self.token()?.name()?.to_owned();
        self.at += 1;
        Some(name)
    }

    /// `schema.name`, as pg_dump writes every name that it can.
    pub(super) fn qualified(&mut self) -> Option<TableName> {
        let start = self.at;
        let mut both = || Some((self.name()?, self.mark('.').then_some(())?, self.name()?));
        let found = both().map(|(schema, (), table)| TableName { schema, table });
        if found.is_none() {
            self.at = start;
        }
        found
    }

    /// Whether one word is left, whatever it is.
    pub(super) fn is_last(&self) -> bool {
        self.at + 1 == self.tokens.len()
    }

    /// Whether the next word is a literal; passes over it.
    pub(super) fn literal(&mut self) -> bool {
        let there = self.token() == Some(&Token::Literal);
        self.at += usize::from(there);
        there
    }
}

/// The name in a literal such as `'public.numbers'`, as pg_dump passes names to functions.
pub(super) fn name_in_literal(literal: &str) -> Option<TableName> {
    let inner = literal.trim().strip_prefix('\'')?.strip_suffix('\'')?.replace("''", "'");
    let mut words = Words::of(&inner);
    let name = words.qualified()?;
    words.token().is_none().then_some(name)
}
