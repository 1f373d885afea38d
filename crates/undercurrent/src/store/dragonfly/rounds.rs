//! One request for many who ask the same at the same time.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// The most requests under way at once.
const UNDER_WAY: usize = 4;
/// How many who wait are worth a request beside those under way, which hides the time that it takes.
const CROWD: usize = 64;

/// What many ask for and one at a time gets for all: one request under way, or a few where many wait, and those who wait
/// for the next.
///
/// A mutex held for the time of a push. Whoever waits is a request that is being made, so their number is that of the
/// requests.
pub(super) struct Rounds<T>(Mutex<State<T>>);

struct State<T> {
    under_way: usize,
    waiting: Vec<oneshot::Sender<Turn<T>>>,
}

impl<T> State<T> {
    /// Says whether another request is to be sent now for those who wait.
    fn is_due(&self) -> bool {
        self.under_way == 0 || self.waiting.len() >= CROWD && self.under_way < UNDER_WAY
    }
}

impl<T> Default for Rounds<T> {
    fn default() -> Self {
        Self(Mutex::new(State { under_way: 0, waiting: Vec::new() }))
    }
}

/// What somebody who waits is told.
enum Turn<T> {
    Done(T),
    /// To send the next request, for these others as well.
    Send(Round<T>),
}

/// The right and the duty to send a request. Dropping it hands both on.
struct Round<T> {
    rounds: Arc<Rounds<T>>,
    others: Vec<oneshot::Sender<Turn<T>>>,
    /// Set where somebody else has them already.
    handed_on: bool,
}

impl<T: Clone> Rounds<T> {
    /// Returns the answer to a request that is sent after the call; others share it. None only where the rounds end.
    ///
    /// Dropping the future ends nothing for the others.
    pub(super) async fn share<F: Future<Output = T>>(
        self: &Arc<Self>,
        send: impl FnOnce() -> F,
    ) -> Option<T> {
        let mut round = match self.join() {
            Ok(round) => round,
            Err(turn_rx) => match turn_rx.await.ok()? {
                Turn::Done(answer) => return Some(answer),
                Turn::Send(round) => round,
            },
        };
        round.gather();
        let answer = send().await;
        round.end(&answer);
        Some(answer)
    }

    /// Returns the right to send a request; or a place among those who wait.
    fn join(self: &Arc<Self>) -> Result<Round<T>, oneshot::Receiver<Turn<T>>> {
        let mut state = self.0.lock();
        if state.is_due() {
            state.under_way += 1;
            return Ok(Round { rounds: self.clone(), others: Vec::new(), handed_on: false });
        }
        let (turn_tx, turn_rx) = oneshot::channel();
        state.waiting.push(turn_tx);
        Err(turn_rx)
    }
}

impl<T: Clone> Round<T> {
    /// Takes in all who wait: what is sent from here on is sent after they asked.
    fn gather(&mut self) {
        self.others.append(&mut self.rounds.0.lock().waiting);
    }

    /// Tells the others, and hands on.
    fn end(mut self, answer: &T) {
        for turn_tx in self.others.drain(..) {
            // One that does not wait any more needs no answer.
            let _ = turn_tx.send(Turn::Done(answer.clone()));
        }
    }
}

impl<T> Drop for Round<T> {
    fn drop(&mut self) {
        if self.handed_on {
            return;
        }
        let mut others = std::mem::take(&mut self.others);
        loop {
            if others.is_empty() {
                let mut state = self.rounds.0.lock();
                state.under_way -= 1;
                if state.waiting.is_empty() || !state.is_due() {
                    return;
                }
                state.under_way += 1;
                others = std::mem::take(&mut state.waiting);
            }
            let Some(next_tx) = others.pop() else { continue };
            let round = Self { rounds: self.rounds.clone(), others, handed_on: false };
            match next_tx.send(Turn::Send(round)) {
                Err(Turn::Send(mut round)) => {
                    others = std::mem::take(&mut round.others);
                    round.handed_on = true;
                }
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Asks for the number of the request, so many times at once, and returns what they got.
    async fn ask(rounds: &Arc<Rounds<usize>>, sent: &AtomicUsize, times: usize) -> Vec<usize> {
        let asked = (0..times).map(|_| {
            rounds.share(|| async {
                let number = sent.fetch_add(1, Ordering::Relaxed) + 1;
                tokio::task::yield_now().await;
                number
            })
        });
        futures_util::future::join_all(asked).await.into_iter().map(Option::unwrap).collect()
    }

    #[tokio::test]
    async fn those_who_ask_while_one_is_under_way_share_the_next() {
        let (rounds, sent) = (Arc::default(), AtomicUsize::new(0));
        let got = ask(&rounds, &sent, CROWD).await;
        assert_eq!((got[0], &got[1..]), (1, &[2; CROWD - 1][..]));
        assert_eq!(ask(&rounds, &sent, 1).await, [3]);
    }

    #[tokio::test]
    async fn a_crowd_does_not_wait_for_the_one_under_way_and_never_sends_more_than_a_few() {
        let (rounds, most, now) = (Arc::new(Rounds::default()), AtomicUsize::new(0), AtomicUsize::new(0));
        let asked = (0..10 * CROWD).map(|_| {
            rounds.share(|| async {
                most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::Relaxed);
            })
        });
        futures_util::future::join_all(asked).await;
        assert_eq!((most.into_inner(), now.into_inner()), (UNDER_WAY, 0));
        assert_eq!(rounds.0.lock().under_way, 0);
    }
}
