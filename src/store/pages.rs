//! Turning the pages of a version listing.

use super::{Error, ListQuery, Page, PageToken, Read, Result};

/// A version listing, page by page: never all of it in memory.
pub struct Pages<'a> {
    store: &'a dyn Read,
    query: ListQuery,
    token: Option<PageToken>,
    ended: bool,
}

impl<'a> Pages<'a> {
    /// From the first page on.
    pub fn of(store: &'a dyn Read, query: ListQuery) -> Self {
        Self { store, query, token: None, ended: false }
    }

    /// From the first key behind `after` on.
    pub fn after(store: &'a dyn Read, query: ListQuery, after: Option<String>) -> Self {
        Self { store, query, token: after.map(|key| PageToken { key, version: None }), ended: false }
    }

    /// The next page; `None` behind the last. A store that gives the same page again would keep us for ever.
    ///
    /// # Errors
    /// What the store answers, and [`Error::Corrupt`] where it does not move on.
    pub async fn next(&mut self) -> Result<Option<Page>> {
        if self.ended {
            return Ok(None);
        }
        let page = self.store.list_page(&self.query, self.token.as_ref()).await?;
        moves_on(&self.query, self.token.as_ref(), page.next.as_ref())?;
        self.ended = page.next.is_none();
        self.token.clone_from(&page.next);
        Ok(Some(page))
    }
}

/// Refuses a page that says to go on where it began.
pub(super) fn moves_on(query: &ListQuery, last: Option<&PageToken>, next: Option<&PageToken>) -> Result<()> {
    let stays = |(last, next): (&PageToken, &PageToken)| last.key == next.key && last.version == next.version;
    if last.zip(next).is_some_and(stays) {
        let target = format!("listing of {}", query.prefix);
        return Err(Error::Corrupt { target, what: "it gives the same page again".into() });
    }
    Ok(())
}
