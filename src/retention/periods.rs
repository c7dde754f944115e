//! Calendar periods, in UTC: days, ISO 8601 weeks, months, years.

use std::fmt;

use jiff::civil::{Date, ISOWeekDate, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use serde::Serialize;

/// Kind of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From Monday; named by the year that its Thursday lies in.
    Week,
    /// From the first.
    Month,
    /// From 1 January.
    Year,
}

impl Period {
    /// The first day of the period that holds `at`.
    pub fn first_day(self, at: Timestamp) -> Date {
        let date = at.to_zoned_datetime(TimeZone::UTC).date();
        match self {
            Self::Day => date,
            Self::Week => {
                let week = date.iso_week_date();
                let monday = ISOWeekDate::new(week.year(), week.week(), Weekday::Monday);
                monday.map_or(date, ISOWeekDate::date)
            }
            Self::Month => date.first_of_month(),
            Self::Year => date.first_of_year(),
        }
    }

    /// When the `count`-th period after the one that begins on `first` begins.
    pub fn end(self, first: Date, count: u32) -> Timestamp {
        let days = |days: u32| Span::new().try_days(days);
        let span = match self {
            Self::Day => days(count),
            Self::Week => days(count.saturating_mul(7)),
            Self::Month => Span::new().try_months(count),
            Self::Year => Span::new().try_years(count),
        };
        let end = span.ok().and_then(|span| first.checked_add(span).ok());
        let end =
            end.and_then(|date| date.to_datetime(jiff::civil::Time::midnight()).to_zoned_datetime(TimeZone::UTC).ok());
        end.map_or(Timestamp::MAX, |end| end.timestamp())
    }

    /// How long `count` periods can last.
    pub fn longest(self, count: u32) -> SignedDuration {
        let days = match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 31,
            Self::Year => 366,
        };
        SignedDuration::from_hours(24 * days * i64::from(count))
    }

    /// What the period that begins on `first` is called: `2026-11-24`, `2026-W48`, `2026-11` or `2026`.
    pub fn name(self, first: Date) -> String {
        match self {
            Self::Day => first.to_string(),
            Self::Week => {
                let week = first.iso_week_date();
                format!("{}-W{:02}", week.year(), week.week())
            }
            Self::Month => first.strftime("%Y-%m").to_string(),
            Self::Year => first.strftime("%Y").to_string(),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn periods_begin_and_end_by_the_calendar() {
        for (moment, period, name, count, end) in [
            ("2026-11-24T23:59:59.9Z", Period::Day, "2026-11-24", 1, "2026-11-25T00:00:00Z"),
            ("2026-11-24T00:00:00Z", Period::Week, "2026-W48", 4, "2026-12-21T00:00:00Z"),
            ("2026-11-24T00:00:00Z", Period::Month, "2026-11", 12, "2027-11-01T00:00:00Z"),
            ("2026-11-24T00:00:00Z", Period::Year, "2026", 7, "2033-01-01T00:00:00Z"),
            // 53 ISO weeks, and a Friday that belongs to the year before.
            ("2026-12-31T12:00:00Z", Period::Week, "2026-W53", 1, "2027-01-04T00:00:00Z"),
            ("2027-01-01T00:00:00Z", Period::Week, "2026-W53", 2, "2027-01-11T00:00:00Z"),
            ("2024-12-30T00:00:00Z", Period::Week, "2025-W01", 1, "2025-01-06T00:00:00Z"),
            // 29 February.
            ("2028-02-29T10:00:00Z", Period::Day, "2028-02-29", 366, "2029-03-01T00:00:00Z"),
            ("2028-02-29T10:00:00Z", Period::Month, "2028-02", 12, "2029-02-01T00:00:00Z"),
            ("2028-02-29T10:00:00Z", Period::Year, "2028", 1, "2029-01-01T00:00:00Z"),
        ] {
            let first = period.first_day(at(moment));
            assert_eq!((period.name(first).as_str(), period.end(first, count)), (name, at(end)), "{moment}");
            assert!(period.end(first, count).duration_since(period.end(first, 0)) <= period.longest(count), "{moment}");
        }
        let edges = [Timestamp::MIN, Timestamp::MAX];
        for period in [Period::Day, Period::Week, Period::Month, Period::Year] {
            for edge in edges {
                assert!(period.end(period.first_day(edge), u32::MAX) == Timestamp::MAX);
            }
        }
    }
}
