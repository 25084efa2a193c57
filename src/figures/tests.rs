//! For whom a finished request counts, and what a reload forgets.

use super::*;

/// A client with this id and label.
pub fn client(id: u32, label: &str) -> Option<Client> {
    let label = label.into();
    Some(Client { id, label })
}

/// A plain successful request, to be varied.
pub fn finished() -> Finished {
    Finished {
        platform: 1,
        key: Some(2),
        client: client(3, "team"),
        request_id: RequestId::new("request-1"),
        method: Method::new("POST"),
        path: Path::new("/demo/v1/chat/completions"),
        model: Model::new("demo"),
        status: Some(200),
        code: None,
        class: Class::Success,
        tries: 1,
        first_byte: Some(Duration::from_millis(20)),
        total: Duration::from_millis(50),
        bytes_in: 100,
        bytes_out: 1000,
        tokens_in: Some(5),
        tokens_out: Some(7),
        started_unix_ms: 1_700_000_000_123,
    }
}

/// Requests, errors of `kind`, bytes and tokens.
fn sums(counts: Option<&Counts>, kind: ErrorKind) -> Option<[u64; 7]> {
    counts.map(|counts| {
        [
            counts.requests,
            counts.errors.of(kind),
            counts.bytes_in,
            counts.bytes_out,
            counts.tokens_in,
            counts.tokens_out,
            counts.first_byte.count(),
        ]
    })
}

#[test]
fn a_request_counts_for_all_who_took_part() {
    let mut figures = Figures::default();
    figures.finish(finished());
    figures.finish(Finished {
        key: Some(4),
        status: Some(429),
        class: Class::ClientError,
        first_byte: None,
        tokens_in: None,
        tokens_out: Some(u64::MAX),
        ..finished()
    });
    figures.finish(Finished {
        platform: 5,
        key: None,
        client: None,
        ..finished()
    });
    let kind = ErrorKind::RateLimited;
    assert_eq!(
        sums(Some(figures.totals()), kind),
        Some([3, 1, 300, 3000, 10, u64::MAX, 2])
    );
    assert_eq!(
        sums(figures.platform(1).map(|platform| &platform.counts), kind),
        Some([2, 1, 200, 2000, 5, u64::MAX, 1])
    );
    assert_eq!(
        sums(figures.client(3), kind),
        Some([2, 1, 200, 2000, 5, u64::MAX, 1])
    );
    assert_eq!(sums(figures.key(2), kind), Some([1, 0, 100, 1000, 5, 7, 1]));
    assert_eq!(
        sums(figures.key(4), kind),
        Some([1, 1, 100, 1000, 0, u64::MAX, 0])
    );
    assert_eq!(sums(figures.key(5), kind), None);
    assert_eq!(
        figures.platform(1).map(|platform| platform.total.count()),
        Some(2)
    );
    assert_eq!(figures.recent().newest_first().count(), 3);
    let id = SeriesId {
        platform: 1,
        key: Some(4),
        client: Some("team".into()),
    };
    assert_eq!(figures.series().count(), 3);
    let (_, series) = figures
        .series()
        .find(|&(other, _)| *other == id)
        .expect("counted above");
    assert_eq!(series.requests(Class::ClientError), 1);
    assert_eq!(series.requests(Class::Success), 0);
}

#[test]
fn tries_that_were_failed_over_count_for_their_key_alone() {
    let mut figures = Figures::default();
    figures.retry(1, 4, ErrorKind::Auth);
    figures.finish(Finished {
        tries: 2,
        ..finished()
    });
    assert_eq!(
        figures
            .key(4)
            .map(|key| (key.requests, key.errors.of(ErrorKind::Auth))),
        Some((0, 1))
    );
    assert_eq!(
        figures
            .key(2)
            .map(|key| (key.requests, key.errors.of(ErrorKind::Auth))),
        Some((1, 0))
    );
    assert_eq!(figures.totals().errors.of(ErrorKind::Auth), 0);
    let platform = figures.platform(1).expect("it was asked");
    let retries = [ErrorKind::Auth, ErrorKind::Server].map(|kind| platform.retries.of(kind));
    assert_eq!(retries, [1, 0]);
}

#[test]
fn refusals_count_by_code() {
    let mut figures = Figures::default();
    for code in ["hourly_limit", "cooldown", "hourly_limit"] {
        figures.refused(code);
    }
    let refusals: Vec<_> = figures.refusals().collect();
    assert_eq!(refusals, [("cooldown", 1), ("hourly_limit", 2)]);
}

#[test]
fn what_is_removed_is_forgotten_and_stays_in_the_totals() {
    let mut figures = Figures::default();
    figures.finish(finished());
    figures.finish(Finished {
        key: Some(4),
        client: None,
        ..finished()
    });
    figures.retain(|_| true, |id| id == 4, |_| false, |_| false);
    assert!(figures.platform(1).is_some() && figures.key(4).is_some());
    assert!(figures.key(2).is_none() && figures.client(3).is_none());
    let ids: Vec<&SeriesId> = figures.series().map(|(id, _)| id).collect();
    assert_eq!(
        ids,
        [&SeriesId {
            platform: 1,
            key: Some(4),
            client: None
        }]
    );
    assert_eq!(figures.totals().requests, 2);
    figures.retain(|_| false, |_| false, |_| false, |_| false);
    assert!(figures.platform(1).is_none() && figures.series().next().is_none());
}

#[test]
fn a_series_of_several_clients_does_not_fall_when_one_goes() {
    let mut figures = Figures::default();
    for id in [3, 4] {
        figures.finish(Finished {
            client: client(id, "team"),
            ..finished()
        });
    }
    let series = |figures: &Figures| -> Vec<u64> {
        let series = figures.series();
        series
            .map(|(_, series)| series.requests(Class::Success))
            .collect()
    };
    assert_eq!(series(&figures), [2]);
    figures.retain(|_| true, |_| true, |id| id == 4, |label| label == "team");
    assert!(figures.client(3).is_none() && figures.client(4).is_some());
    assert_eq!(series(&figures), [2]);
    // The remaining client has been renamed.
    figures.retain(|_| true, |_| true, |id| id == 4, |label| label == "others");
    assert!(series(&figures).is_empty());
}
