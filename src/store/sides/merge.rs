//! One listing out of several: in key order, everything of one key together, first what the first side has of it.
//!
//! Nothing is held between pages: a token says where each side stands. What a side gave beyond what could be passed on is asked
//! for again with the next page.

use futures::future::join_all;
use serde::{Deserialize, Serialize};

use super::super::pages::moves_on;
use super::super::{Entry, Error, ListQuery, Page, PageToken, Result};
use super::Sides;

/// Where the listing of one side stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Position {
    /// Its own token: key and version.
    token: Option<(String, Option<String>)>,
    /// Keys up to this one were passed on already.
    seen: Option<String>,
    ended: bool,
    /// It failed; what it has beyond is not known.
    lost: bool,
}

/// An entry or a folder.
enum Item {
    Entry(Entry),
    Folder(String),
}

impl Item {
    fn key(&self) -> &str {
        match self {
            Self::Entry(entry) => entry.key.as_str(),
            Self::Folder(folder) => folder,
        }
    }
}

/// What a side has from its position on.
struct Part {
    items: std::iter::Peekable<std::vec::IntoIter<Item>>,
    /// The last key, of which there may be more, if this is not all.
    bound: Option<String>,
    next: Option<PageToken>,
}

impl Part {
    fn has(&mut self, key: &str) -> bool {
        self.items.peek().is_some_and(|item| item.key() == key)
    }
}

/// One page of everything that any side has.
pub(super) async fn page(sides: &Sides, query: &ListQuery, token: Option<&PageToken>) -> Result<Page> {
    let mut positions = positions(sides.count(), token)?;
    let asked = positions.iter_mut().enumerate().map(|(side, position)| part(sides, side, query, position));
    let mut first_error = None;
    let mut parts: Vec<Option<Part>> = Vec::new();
    for answer in join_all(asked).await {
        parts.push(answer.unwrap_or_else(|error| {
            first_error.get_or_insert(error);
            None
        }));
    }
    if let Some(error) = first_error.filter(|_| positions.iter().all(|position| position.lost)) {
        return Err(error);
    }
    let mut page = Page::default();
    merge(&mut parts, &mut positions, &mut page);
    let ended = positions.iter().all(|position| position.ended || position.lost);
    page.next = if ended { None } else { Some(token_of(&positions)?) };
    Ok(page)
}

fn positions(count: usize, token: Option<&PageToken>) -> Result<Vec<Position>> {
    let unreadable = || Error::Setup("a listing was continued from another's token".into());
    match token {
        None => Ok(vec![Position::default(); count]),
        Some(PageToken { key, version: None }) => {
            let token = Some((key.clone(), None));
            Ok(vec![Position { token, ..Position::default() }; count])
        }
        Some(PageToken { version: Some(text), .. }) => serde_json::from_str(text).map_err(|_| unreadable()),
    }
}

fn token_of(positions: &[Position]) -> Result<PageToken> {
    let text = serde_json::to_string(positions).map_err(|error| Error::Setup(error.to_string()))?;
    Ok(PageToken { key: String::new(), version: Some(text) })
}

/// What a side has that was not passed on yet; `None` if there is no more. A side that fails is lost for the whole listing.
async fn part(sides: &Sides, side: usize, query: &ListQuery, position: &mut Position) -> Result<Option<Part>> {
    if position.ended || position.lost {
        return Ok(None);
    }
    loop {
        let token = position.token.clone().map(|(key, version)| PageToken { key, version });
        let listed = sides.list_side(side, query, token.as_ref()).await;
        let page = listed.and_then(|page| moves_on(query, token.as_ref(), page.next.as_ref()).map(|()| page));
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                position.lost = true;
                return Err(error);
            }
        };
        let next = page.next.clone();
        let items = items(page, side, position.seen.as_deref());
        if items.is_empty() {
            position.ended = next.is_none();
            let Some(PageToken { key, version }) = next else { return Ok(None) };
            position.token = Some((key, version));
            continue;
        }
        let bound = items.last().filter(|_| next.is_some()).map(|item| item.key().to_owned());
        return Ok(Some(Part { items: items.into_iter().peekable(), bound, next }));
    }
}

/// Entries and folders of a page behind `seen`, in one order.
fn items(page: Page, side: usize, seen: Option<&str>) -> Vec<Item> {
    let side = u8::try_from(side).unwrap_or(u8::MAX);
    let entries = page.entries.into_iter().map(|entry| Entry { version: entry.version.on_side(side), ..entry });
    let folders = page.prefixes.into_iter().map(Item::Folder);
    let mut items: Vec<Item> = entries.map(Item::Entry).chain(folders).collect();
    items.retain(|item| seen.is_none_or(|seen| item.key() > seen));
    // The order of versions of one key stays.
    items.sort_by(|a, b| a.key().cmp(b.key()));
    items
}

/// Passes on what is certain: up to the first key of which a side may have more.
fn merge(parts: &mut [Option<Part>], positions: &mut [Position], page: &mut Page) {
    let horizon = parts.iter().flatten().filter_map(|part| part.bound.clone()).min();
    'keys: loop {
        let heads = parts.iter_mut().flatten().filter_map(|part| part.items.peek().map(|item| item.key().to_owned()));
        let Some(key) = heads.min() else { break };
        if horizon.as_ref().is_some_and(|horizon| key > *horizon) {
            break;
        }
        for (part, position) in parts.iter_mut().zip(positions.iter_mut()) {
            let Some(part) = part else { continue };
            // A folder is there once, whatever is in it.
            let mut may_go_on = part.bound.as_ref() == Some(&key);
            while part.has(&key) {
                match part.items.next() {
                    Some(Item::Entry(entry)) => page.entries.push(entry),
                    Some(Item::Folder(folder)) => {
                        may_go_on = false;
                        page.prefixes.extend(Some(folder).filter(|folder| page.prefixes.last() != Some(folder)));
                    }
                    None => {}
                }
                position.seen = Some(key.clone());
            }
            if may_go_on {
                break 'keys;
            }
        }
    }
    for (part, position) in parts.iter_mut().zip(positions) {
        let Some(part) = part.as_mut().filter(|part| part.items.len() == 0) else { continue };
        position.ended = part.next.is_none();
        position.token = part.next.take().map(|PageToken { key, version }| (key, version));
        position.seen = None;
    }
}
