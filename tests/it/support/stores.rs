//! `docs/STORES.md` says what `doctor` saw.

use std::collections::BTreeMap;

/// What the table says of a store: capability or check, and the words in that store's column.
fn column(store: &str) -> BTreeMap<String, String> {
    let document = include_str!("../../../docs/STORES.md");
    let (_, table) = document.split_once("\n| capability |").expect("the table");
    let table: Vec<&str> = table.split("\n\n").next().unwrap_or_default().lines().collect();
    let cells = |line: &str| -> Vec<String> { line.split('|').map(|cell| cell.trim().to_owned()).collect() };
    // The first line has lost its first cell.
    let place = cells(table[0]).iter().position(|cell| cell.starts_with(store)).expect("a column") + 1;
    table[2..].iter().map(|line| cells(line)).map(|cells| (cells[1].clone(), cells[place + 1].clone())).collect()
}

/// Compares a column with the document of `doctor`.
pub(crate) fn compare(store: &str, examined: &serde_json::Value) {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    for (name, answer) in examined["capabilities"].as_object().expect("capabilities") {
        seen.insert(name.clone(), yes(answer == true));
    }
    for check in examined["checks"].as_array().expect("checks") {
        let name = check["name"].as_str().unwrap_or_default();
        if ["worm: lock", "worm: shorten", "worm: delete", "worm: bypass"].contains(&name) {
            seen.insert(name.to_owned(), yes(check["status"] == "ok"));
        }
    }
    assert_eq!(column(store), seen, "docs/STORES.md, column {store}");
}
