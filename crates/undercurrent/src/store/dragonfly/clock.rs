//! The server's clock, as this node sees it.

use std::time::Duration;

use crate::store::Moment;

const NANOS_PER_MS: u128 = 1_000_000;

/// The server's clock in whole milliseconds, and a moment of this node: of when it was asked, or when it had answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) server_ms: u64,
    pub(super) at: Moment,
}

impl Clock {
    /// Returns a moment of this node as the server's time, rounded down.
    pub(super) fn to_server(self, moment: Moment) -> u64 {
        let ahead = moment.since(self.at).as_nanos() / NANOS_PER_MS;
        let behind = self.at.since(moment).as_nanos().div_ceil(NANOS_PER_MS);
        (self.server_ms + ahead as u64).saturating_sub(behind as u64)
    }

    /// Returns a time of the server as a moment of this node: never later than it is, so that nothing lasts longer here
    /// than where it was loaded. The server's clock was somewhere within its millisecond, at the end of it at worst.
    pub(super) fn to_moment(self, server_ms: u64) -> Moment {
        let at_worst = self.server_ms + 1;
        let ahead = Duration::from_millis(server_ms.saturating_sub(at_worst));
        let behind = Duration::from_millis(at_worst.saturating_sub(server_ms));
        self.at.after(ahead).before(behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a node sees of the server's clock, which is so far ahead of this machine's, at a moment of its own.
    fn seen(at: Moment, server_ahead: Duration) -> Clock {
        Clock { server_ms: (Duration::from_nanos(at.since_boot()) + server_ahead).as_millis() as u64, at }
    }

    #[test]
    fn a_deadline_is_never_later_on_another_node_and_hardly_earlier() {
        let micros = [0, 1, 499, 500, 999];
        let cases = micros.iter().flat_map(|a| micros.iter().flat_map(move |b| micros.map(|c| (*a, *b, c))));
        let start = Moment::now();
        for (of_server, of_writer, of_deadline) in cases {
            let ahead = Duration::from_secs(1000) + Duration::from_micros(of_server);
            let writer = seen(start.after(Duration::from_micros(of_writer)), ahead);
            // The other one asks half a second later.
            let reader = seen(writer.at.after(Duration::from_micros(500_250)), ahead);
            let soon = writer.at.after(Duration::from_secs(5) + Duration::from_micros(of_deadline));
            let over = writer.at.before(Duration::from_secs(1) + Duration::from_micros(of_deadline));
            for deadline in [soon, over] {
                let there = reader.to_moment(writer.to_server(deadline));
                assert!(there <= deadline, "{:?} later: {writer:?}, {reader:?}", there.since(deadline));
                let earlier = deadline.since(there);
                assert!(earlier < Duration::from_millis(3), "{earlier:?} earlier: {writer:?}, {reader:?}");
            }
        }
    }
}
