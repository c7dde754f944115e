//! Values of the database as JavaScript prints them.

use jiff::Timestamp;
use jiff::tz::Offset;

use super::definition::{Form, Shape};
use super::json;
use crate::postgres::rows::Cell;

/// A value that cannot be written in its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) String);

/// The value in a text of this shape; `None` = null.
pub(super) fn write(cell: &Cell, form: Form, shape: &Shape) -> Result<Option<String>, Unreadable> {
    let quoted = matches!(shape, Shape::Json);
    let text = match (cell, form) {
        (Cell::Null, _) => return Ok(None),
        (Cell::Time(micros), _) => return Ok(time(*micros)?.map(|text| string(&text, quoted))),
        (Cell::Text(text), Form::Text | Form::Time) => string(text, quoted),
        (Cell::Text(text), Form::Boolean) => match text.as_str() {
            "true" | "t" | "1" => "true".into(),
            "false" | "f" | "0" => "false".into(),
            _ => return Err(Unreadable("a value is neither true nor false".into())),
        },
        (Cell::Text(text), Form::Number) => {
            let number: f64 = text.trim().parse().map_err(|_| Unreadable("a value is not a number".into()))?;
            let mut out = String::new();
            json::number(number, &mut out);
            out
        }
        (Cell::Text(text), Form::Json) => json::canonical(text).map_err(|error| Unreadable(error.0.into()))?,
    };
    // A null inside json, and a number that is none, are null to JavaScript as well.
    Ok(Some(text).filter(|text| !(text == "null" && matches!(form, Form::Json | Form::Number))))
}

fn string(text: &str, quoted: bool) -> String {
    if !quoted {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 2);
    json::quote(text, &mut out);
    out
}

/// `Date.toISOString` of microseconds since 1970. PostgreSQL's infinities are null.
fn time(micros: i64) -> Result<Option<String>, Unreadable> {
    if micros == i64::MAX || micros == i64::MIN {
        return Ok(None);
    }
    let millis = micros.div_euclid(1000);
    let far = |_| Unreadable("a time is after the year 9999".into());
    let at = Offset::UTC.to_datetime(Timestamp::from_millisecond(millis).map_err(far)?);
    let year = match at.year() {
        year @ 0.. => format!("{year:04}"),
        year => format!("-{:06}", year.unsigned_abs()),
    };
    let (hour, minute, second, milli) = (at.hour(), at.minute(), at.second(), at.millisecond());
    Ok(Some(format!("{year}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z", at.month(), at.day())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_end_in_z() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_555_766_123_999, "2026-11-24T21:29:26.123Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (-62_198_755_200_000_000, "-000001-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(time(micros).unwrap().unwrap(), text);
        }
        assert_eq!(time(i64::MAX), Ok(None));
        assert!(time(i64::MAX - 1).is_err());
    }

    #[test]
    fn each_form_writes_its_own_way() {
        let write = |text: &str, form| write(&Cell::Text(text.into()), form, &Shape::Json);
        assert_eq!(write("a\"b\n", Form::Text).unwrap().unwrap(), r#""a\"b\n""#);
        assert_eq!(write("42", Form::Number).unwrap().unwrap(), "42");
        assert_eq!(write("42", Form::Text).unwrap().unwrap(), "\"42\"");
        assert_eq!(write("NaN", Form::Number), Ok(None));
        assert_eq!(write("null", Form::Json), Ok(None));
        assert_eq!(write("null", Form::Text).unwrap().unwrap(), "\"null\"");
        assert_eq!(write("true", Form::Boolean).unwrap().unwrap(), "true");
        assert!(write("maybe", Form::Boolean).is_err() && write("x", Form::Number).is_err());
        assert!(write("{", Form::Json).is_err());
    }
}
