//! Does every row name the one before it? One row after the other; a break is told when the row behind it has shown what
//! kind of break it is.

use super::definition::Definition;
use super::examine::{Content, Examined, Examiner, Fit};
use super::report::{Break, BreakKind, ChainReport, Head};

/// The row before.
#[derive(Debug)]
struct Last {
    stored: Option<String>,
    /// What its hash would be by its content, if that is something else: by either rule for nulls.
    computed: Vec<String>,
}

/// How a row is linked to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Holds,
    /// To what the content of the row before says, not to its hash.
    ToContent,
    Broken,
}

/// Follows a chain.
#[derive(Debug)]
pub(super) struct Links {
    genesis: Option<String>,
    explain: bool,
    last: Option<Last>,
    /// What is wrong with the content of the row before.
    pending: Option<Break>,
    report: ChainReport,
}

impl Links {
    /// `explain`: whether the hashed text of the first break is to be told.
    pub(super) fn new(definition: &Definition, explain: bool) -> Self {
        let report = ChainReport {
            name: definition.name.clone(),
            table: definition.table.to_string(),
            lost_head: definition.head.clone(),
            ..ChainReport::default()
        };
        Self { genesis: definition.genesis.clone(), explain, last: None, pending: None, report }
    }

    /// The hash that the next row should name.
    pub(super) fn expected(&self) -> Option<&str> {
        self.last.as_ref().map_or(self.genesis.as_deref(), |last| last.stored.as_deref())
    }

    /// Takes the next row.
    pub(super) fn follow(&mut self, row: Examined, examiner: &mut Examiner) {
        let expected = self.expected().map(str::to_owned);
        let link = self.link(&row);
        self.settle(link);
        self.report.rows += 1;
        let mut wrong_content = self.content(&row, examiner);
        if link == Link::Broken {
            let previous_altered = match (&row.content, &row.hash) {
                (Content::Differs { values, .. }, Some(hash)) => examiner.fits_with(values, expected.as_deref(), hash),
                _ => false,
            };
            let mut found = self.found(&row, if previous_altered { BreakKind::Previous } else { BreakKind::Missing });
            found.detail = link_detail(found.kind, &row, self.report.rows == 1);
            found.expected_previous = expected;
            if previous_altered {
                // The content is all right but for this.
                found.text = wrong_content.take().and_then(|content| content.text);
            }
            self.report.add(found);
        }
        self.report.lost_head.take_if(|head| Some(&head.hash) == row.hash.as_ref());
        let computed = match row.content {
            Content::Differs { computed, other, .. } => std::iter::once(computed).chain(other).collect(),
            Content::Fits(_) | Content::Unreadable(_) => Vec::new(),
        };
        self.pending = wrong_content;
        self.report.head = Some(Head { row: row.name, hash: row.hash.clone() });
        self.last = Some(Last { stored: row.hash, computed });
    }

    /// The end of the table.
    pub(super) fn finish(mut self) -> ChainReport {
        self.settle(Link::Broken);
        self.report
    }

    fn link(&self, row: &Examined) -> Link {
        let Some(last) = &self.last else {
            return if row.previous == self.genesis { Link::Holds } else { Link::Broken };
        };
        match &row.previous {
            Some(previous) if Some(previous) == last.stored.as_ref() => Link::Holds,
            Some(previous) if last.computed.contains(previous) => Link::ToContent,
            _ => Link::Broken,
        }
    }

    /// Says what is wrong with the row before, now that the link to it is known.
    fn settle(&mut self, link: Link) {
        let Some(mut pending) = self.pending.take() else { return };
        if link == Link::ToContent && pending.kind == BreakKind::Content {
            pending.kind = BreakKind::Hash;
            pending.detail = "its hash was changed: the row behind it names the hash of its content".into();
        }
        self.report.add(pending);
    }

    /// Counts the row, or says what is wrong with its content.
    fn content(&mut self, row: &Examined, examiner: &Examiner) -> Option<Break> {
        let rules = &mut self.report.rules;
        let (kind, computed, detail) = match &row.content {
            _ if row.hash.is_none() => (BreakKind::Unhashed, None, "it has no hash".to_owned()),
            Content::Fits(fit) => {
                *match fit {
                    Fit::NoNulls => &mut rules.no_nulls,
                    Fit::Keep => &mut rules.keep,
                    Fit::Omit => &mut rules.omit,
                    Fit::Mixed => &mut rules.mixed,
                } += 1;
                return None;
            }
            Content::Differs { computed, other, .. } => {
                let fits_other = other.is_some() && *other == row.hash;
                let detail = if fits_other {
                    "its content agrees with its hash only by the other rule for nulls (null_rule)"
                } else {
                    "its content does not agree with its hash"
                };
                (BreakKind::Content, Some(computed.clone()), detail.to_owned())
            }
            Content::Unreadable(why) => (BreakKind::Unreadable, None, why.clone()),
        };
        let mut found = self.found(row, kind);
        found.computed = computed;
        found.detail = detail;
        if let (true, Content::Differs { values, .. }) = (self.explain, &row.content) {
            self.explain = false;
            found.text = Some(examiner.text(values));
        }
        Some(found)
    }

    fn found(&self, row: &Examined, kind: BreakKind) -> Break {
        Break {
            kind,
            position: self.report.rows,
            row: row.name.clone(),
            stored: row.hash.clone(),
            computed: None,
            previous: row.previous.clone(),
            expected_previous: None,
            detail: String::new(),
            text: None,
        }
    }
}

fn link_detail(kind: BreakKind, row: &Examined, first: bool) -> String {
    match (kind, &row.previous) {
        (BreakKind::Previous, _) => {
            "the hash of the row before was changed in it: with the right one its content agrees with its hash".into()
        }
        (_, None) => "it names no row before it, as if the chain began here".into(),
        (_, Some(_)) if first => {
            "it is the first row and names one before it: rows at the beginning are missing".into()
        }
        (_, Some(_)) => {
            "no row has the hash that it names: the row before it is missing, or was replaced and hashed anew".into()
        }
    }
}
