//! Log lines on standard error; standard output is for data.

use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One readable line.
    #[default]
    Human,
    /// One JSON object.
    Json,
}

/// How to log.
#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    /// Form of the lines.
    pub format: LogFormat,
    /// Levels by module, as `STONEWAL_LOG` gives them; `None` = by `verbosity`.
    pub filter: Option<String>,
    /// Number of `-v` flags: 0 warnings, 1 information, 2 debugging, 3 or more tracing. Dependencies stay at warnings.
    pub verbosity: u8,
}

/// Logging cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The filter is not one.
    #[error("log filter {filter:?} is not valid")]
    Filter {
        /// As given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// Logging was set up before.
    #[error("logging is set up already")]
    Twice(#[source] tracing::subscriber::SetGlobalDefaultError),
}

impl LogError {
    /// What the operator should do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Filter { .. } => Some("allowed: levels by module, such as \"warn,stonewal=debug\"".into()),
            Self::Twice(_) => None,
        }
    }
}

/// Sends log lines to `writer` from now on, for the whole process. The writer is the caller's, so that lines and a
/// progress bar do not overwrite each other.
///
/// # Errors
/// A filter that does not parse; a second call.
pub fn init(options: &LogOptions, writer: BoxMakeWriter) -> Result<(), LogError> {
    tracing::subscriber::set_global_default(subscriber(options, writer)?).map_err(LogError::Twice)
}

/// The subscriber that [`init`] installs, for tests and for use by thread.
///
/// # Errors
/// A filter that does not parse.
pub fn subscriber(options: &LogOptions, writer: BoxMakeWriter) -> Result<impl Subscriber + Send + Sync, LogError> {
    let text = options.filter.clone().unwrap_or_else(|| by_verbosity(options.verbosity));
    let filter =
        EnvFilter::builder().parse(&text).map_err(|source| LogError::Filter { filter: text.clone(), source })?;
    Ok(Registry::default().with(filter).with(lines(options.format, writer)))
}

fn by_verbosity(verbosity: u8) -> String {
    let level = match verbosity {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    // s3s, below the embedded store, logs every refusal as an error; there a refusal is an answer like any other. aws_config
    // logs what our error says, in a line of a thousand characters for each try.
    format!("warn,s3s=off,aws_config=error,stonewal={level}")
}

fn lines<S>(format: LogFormat, writer: BoxMakeWriter) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = fmt::layer().with_writer(writer).with_ansi(false);
    match format {
        LogFormat::Human => Box::new(layer.with_target(false)),
        LogFormat::Json => Box::new(layer.json().flatten_event(true)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(options: &LogOptions) -> String {
        let memory = Memory::default();
        let writer = {
            let memory = memory.clone();
            BoxMakeWriter::new(move || memory.clone())
        };
        tracing::subscriber::with_default(subscriber(options, writer).unwrap(), || {
            tracing::debug!(target: "stonewal::store", key = "k1", "put");
            tracing::info!(target: "stonewal", "began");
            tracing::info!(target: "hyper", "chatter");
            tracing::warn!(target: "hyper", "trouble");
            tracing::warn!(target: "aws_config::meta::credentials::chain", "no provider");
        });
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn dependencies_stay_at_warnings() {
        for (verbosity, own) in [(0, 0), (1, 1), (2, 2), (9, 2)] {
            let text = logged(&LogOptions { verbosity, ..LogOptions::default() });
            assert_eq!(text.lines().count(), own + 1, "-v × {verbosity}: {text}");
            assert!(text.contains("trouble") && !text.contains("chatter") && !text.contains("no provider"));
        }
    }

    #[test]
    fn a_filter_overrides_verbosity_and_json_lines_are_json() {
        let options = LogOptions { format: LogFormat::Json, filter: Some("off,stonewal=debug".into()), verbosity: 0 };
        let text = logged(&options);
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["message"], &lines[0]["key"]), (&"put".into(), &"k1".into()));
    }

    #[test]
    fn a_bad_filter_is_named() {
        let options = LogOptions { filter: Some("stonewal=loud".into()), ..LogOptions::default() };
        let error = subscriber(&options, BoxMakeWriter::new(std::io::sink)).err().unwrap();
        assert!(error.to_string().contains("stonewal=loud") && error.hint().is_some());
    }
}
