//! The operator's own questions. A file holds one query that gives one boolean column; it passes if it gives at least one row
//! and every row is true.

use std::time::Duration;

use crate::postgres::inspect::Answers;
use crate::postgres::{ConnInfo, Result, Session};
use crate::verify::restored::{Check, Status};

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlCheck {
    /// Its name: that of its file without the ending.
    pub name: String,
    /// The query.
    pub sql: String,
}

const RULE: &str =
    "a file holds one query with one boolean column; it passes with at least one row, if every row is true";

/// Asks all of them under one snapshot; nothing can be changed. An error means that the server cannot be asked any more.
pub(super) async fn run(info: &ConnInfo, checks: &[SqlCheck], patience: Duration) -> Result<Vec<Check>> {
    let mut judged = Vec::new();
    if checks.is_empty() {
        return Ok(judged);
    }
    let session = Session::connect(info, "stonewal drill").await?;
    session.begin_inspection().await?;
    session.begin_questions(patience).await?;
    for check in checks {
        let name = format!("sql {}", check.name);
        match session.question(session.ask_truth(&check.sql)).await {
            Err(error) if session.client().is_closed() => return Err(error),
            Err(error) => judged.push(Check::not_done(&name, &error, Some(RULE.into()))),
            Ok(answers) => judged.push(judge(&name, answers)),
        }
    }
    session.end_inspection().await?;
    Ok(judged)
}

fn judge(name: &str, Answers { rows, true_rows }: Answers) -> Check {
    match rows - true_rows {
        _ if rows == 0 => Check::new(name, Status::Fail, "no row").advise(RULE),
        0 => Check::new(name, Status::Ok, format!("true in {rows} of {rows} rows")),
        bad => Check::new(name, Status::Fail, format!("not true in {bad} of {rows} rows")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_no_consent() {
        let status = |rows, true_rows| judge("sql x", Answers { rows, true_rows }).status;
        assert_eq!([status(0, 0), status(3, 2), status(3, 0)], [Status::Fail; 3]);
        assert_eq!(status(3, 3), Status::Ok);
    }
}
