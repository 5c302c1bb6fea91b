//! What is counted: requests by route and code, and how long they took.
//!
//! On a site the numbers that are shown move when a batch closes and at no other time: whoever watched them could otherwise tell
//! when a visit was (spec 8.1).

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// What metrics are sent as.
pub(super) const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds. Coarse: finer ones would tell kinds of requests of one route apart.
const BUCKETS: [f64; 5] = [0.01, 0.1, 1.0, 10.0, 60.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

/// When the numbers that are shown move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Always,
    AtBatchClose,
}

/// The state of a party, beside its requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gauges {
    pub(super) log_size: u64,
    pub(super) batches: u32,
    /// Open signing sessions; an issuer's.
    pub(super) sessions: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    durations: Family<Route, Histogram>,
    log_size: Gauge,
    batches: Gauge,
    sessions: Gauge,
    /// What is shown until the next batch closes.
    held: Option<Mutex<String>>,
}

impl Metrics {
    pub(super) fn new(shown: Shown, gauges: Gauges) -> Self {
        let mut registry = Registry::with_prefix("annona");
        let requests = Family::default();
        let durations = Family::<Route, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        let (log_size, batches, sessions) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register("requests", "Requests by route and code of the answer", requests.clone());
        registry.register("request_seconds", "Time to answer, by route", durations.clone());
        registry.register("log_size", "Leaves of the log", log_size.clone());
        registry.register("batches", "Closed batches", batches.clone());
        if gauges.sessions.is_some() {
            registry.register("sessions", "Open signing sessions", sessions.clone());
        }
        let held = (shown == Shown::AtBatchClose).then(Mutex::default);
        let metrics = Self { registry, requests, durations, log_size, batches, sessions, held };
        metrics.batch_closed(gauges);
        metrics
    }

    /// Counts an answer. `route` is a path's template, never a path.
    pub(super) fn answered(&self, route: &str, code: &str, took: Duration) {
        self.requests.get_or_create(&Answered { route: route.to_owned(), code: code.to_owned() }).inc();
        self.durations.get_or_create(&Route { route: route.to_owned() }).observe(took.as_secs_f64());
    }

    /// Shows what was counted up to now, where it is held back.
    pub(super) fn batch_closed(&self, gauges: Gauges) {
        if let Some(held) = &self.held {
            let text = self.encode(gauges);
            *held.lock().unwrap_or_else(PoisonError::into_inner) = text;
        }
    }

    /// What is shown now. `gauges` are not asked for where they are held back.
    pub(super) fn text<E>(&self, gauges: impl FnOnce() -> Result<Gauges, E>) -> Result<String, E> {
        match &self.held {
            Some(held) => Ok(held.lock().unwrap_or_else(PoisonError::into_inner).clone()),
            None => Ok(self.encode(gauges()?)),
        }
    }

    fn encode(&self, gauges: Gauges) -> String {
        self.log_size.set(i64::try_from(gauges.log_size).unwrap_or(i64::MAX));
        self.batches.set(gauges.batches.into());
        self.sessions.set(gauges.sessions.and_then(|count| i64::try_from(count).ok()).unwrap_or_default());
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to memory cannot fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sites_numbers_move_when_a_batch_closes() {
        let gauges = Gauges { log_size: 5, batches: 1, sessions: None };
        let metrics = Metrics::new(Shown::AtBatchClose, gauges);
        let text = || metrics.text(|| Err("not to be asked")).unwrap();
        let before = text();
        metrics.answered("/v1/redeem", "ok", Duration::from_millis(3));
        assert_eq!(text(), before);
        metrics.batch_closed(Gauges { log_size: 9, batches: 2, sessions: None });
        let after = text();
        assert!(after.contains(r#"annona_requests_total{route="/v1/redeem",code="ok"} 1"#), "{after}");
        assert!(after.contains("annona_log_size 9") && after.contains("annona_batches 2"), "{after}");
    }

    #[test]
    fn an_issuers_numbers_are_those_of_now() {
        let metrics = Metrics::new(Shown::Always, Gauges { sessions: Some(0), ..Gauges::default() });
        metrics.answered("/v1/draw", "spent", Duration::from_secs(2));
        let text = metrics.text(|| Ok::<_, ()>(Gauges { sessions: Some(3), ..Gauges::default() })).unwrap();
        assert!(text.contains(r#"annona_requests_total{route="/v1/draw",code="spent"} 1"#), "{text}");
        assert!(text.contains("annona_sessions 3"), "{text}");
    }
}
