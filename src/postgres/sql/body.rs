//! Bodies of functions in plain SQL, `BEGIN ATOMIC … END`: the semicolons in them end no statement.

/// Longer than every word that counts.
const WORD_BYTES: usize = 10;

/// How far a statement is in such a body. Told by its words outside quotes, comments and parentheses, as psql tells it.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// The word being read, in upper case; of a longer one its beginning.
    word: [u8; WORD_BYTES],
    length: usize,
    head: Head,
    /// Whether the last word was `BEGIN`.
    begun: bool,
    /// `BEGIN ATOMIC` and `CASE` without their `END`.
    depth: u32,
}

/// The first words of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Head {
    #[default]
    Empty,
    Create,
    Or,
    Routine,
    Other,
}

impl Body {
    /// Takes the next byte outside quotes and comments; `is_word` if it belongs to a word, `top` outside parentheses.
    pub(super) fn step(&mut self, byte: u8, is_word: bool, top: bool) {
        if is_word {
            if let Some(place) = self.word.get_mut(self.length) {
                *place = byte.to_ascii_uppercase();
                self.length += 1;
            }
            return;
        }
        let length = std::mem::take(&mut self.length);
        let word = self.word;
        if length > 0 {
            self.end_of_word(&word[..length], top);
        }
        if !byte.is_ascii_whitespace() {
            self.begun = false;
        }
    }

    /// Whether a body is open.
    pub(super) fn is_open(&self) -> bool {
        self.depth > 0
    }

    fn end_of_word(&mut self, word: &[u8], top: bool) {
        self.head = match (self.head, word) {
            (Head::Routine, _) => return self.word_of_routine(word, top),
            (Head::Empty, b"CREATE") | (Head::Or, b"REPLACE") => Head::Create,
            (Head::Create, b"OR") => Head::Or,
            (Head::Create, b"FUNCTION" | b"PROCEDURE") => Head::Routine,
            _ => Head::Other,
        };
    }

    fn word_of_routine(&mut self, word: &[u8], top: bool) {
        let begun = std::mem::replace(&mut self.begun, word == b"BEGIN");
        match word {
            _ if !top => {}
            b"ATOMIC" if begun => self.depth += 1,
            b"CASE" if self.depth > 0 => self.depth += 1,
            b"END" => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}
