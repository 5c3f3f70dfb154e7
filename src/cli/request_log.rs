//! The log of `--verbose`: a line on stderr for each request, and with `-vv` for each retry.

use std::fmt::{Debug, Write};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::screen::Screen;

/// Writes events up to a level. It has no spans: each line says which request it belongs to.
struct RequestLog {
    max_level: Level,
    screen: Screen,
}

/// Starts the log, for the rest of the process.
pub(super) fn start(max_level: Level, screen: Screen) {
    // It fails if the process has a log already, which then stays.
    let _ = tracing::subscriber::set_global_default(RequestLog { max_level, screen });
}

impl Subscriber for RequestLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.max_level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.max_level.into())
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.screen.print(&line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        // Never called: spans are not enabled. The number must not be 0.
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The text of an event: its message, and `name=value` of each other field.
#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        if field.name() != "message" {
            self.0.push_str(field.name());
            self.0.push('=');
        }
        // Writing to a string does not fail.
        let _ = write!(self.0, "{value:?}");
    }
}
