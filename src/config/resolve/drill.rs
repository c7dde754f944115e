//! The section `drill`.

use std::time::Duration;

use super::{HOUR, RETAIN_MAX, Reader, any};
use crate::config::error::{Error, Result};
use crate::config::key;
use crate::config::settings::DrillSettings;
use crate::config::values;

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn settings(read: &Reader<'_>) -> Result<DrillSettings> {
    let objective = |key| read.optional(key, |text| values::duration(text, SECOND, RETAIN_MAX));
    let dir = read.path(&key::DRILL_DIR)?;
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let nice = read.required(&key::DRILL_NICE, |text| values::number(text, 0, 19))?;
    Ok(DrillSettings {
        dir: dir.ok_or(Error::Missing { what: key::DRILL_DIR.path, ways: key::DRILL_DIR.allowed })?,
        rto: objective(&key::DRILL_RTO)?,
        rpo: objective(&key::DRILL_RPO)?,
        sql: read.paths(&key::DRILL_SQL)?,
        timeout: read.required(&key::DRILL_TIMEOUT, |text| values::duration(text, SECOND, 31 * 24 * HOUR))?,
        user: read.required(&key::DRILL_USER, any)?,
        database: read.optional(&key::DRILL_DATABASE, any)?,
        preload: read.list(&key::DRILL_PRELOAD, values::library)?,
        shared_buffers: read.required(&key::DRILL_SHARED_BUFFERS, |text| values::size(text, 1 << 20, 64 << 30))?,
        parallel: small(read.required(&key::DRILL_PARALLEL, |text| values::number(text, 0, 64))?),
        nice: i32::try_from(nice).unwrap_or_default(),
        max_age: read.required(&key::CHECKLIST_MAX_AGE, |text| values::duration(text, HOUR, RETAIN_MAX))?,
    })
}
