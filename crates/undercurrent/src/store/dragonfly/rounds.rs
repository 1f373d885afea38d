//! One request for many who ask the same at the same time.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// What many ask for and one at a time gets for all: at most one request under way, and those who wait for the next.
///
/// A mutex held for the time of a push. Whoever waits is a request that is being made, so their number is that of the
/// requests.
pub(super) struct Rounds<T>(Mutex<State<T>>);

struct State<T> {
    under_way: bool,
    waiting: Vec<oneshot::Sender<Turn<T>>>,
    /// Whether the last request was for more than one.
    crowded: bool,
}

impl<T> Default for Rounds<T> {
    fn default() -> Self {
        Self(Mutex::new(State { under_way: false, waiting: Vec::new(), crowded: false }))
    }
}

/// What somebody who waits is told.
enum Turn<T> {
    Done(T),
    /// To send the next request, for these others as well.
    Send(Round<T>),
}

/// The right and the duty to send the next request. Dropping it hands both on.
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
            Ok((round, crowded)) => {
                // Where many ask, those who were just answered ask again in a moment, and may share this one.
                if crowded {
                    self.wait_for_more().await;
                }
                round
            }
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

    /// Gives way for as long as that brings more who ask.
    async fn wait_for_more(&self) {
        let mut waiting = 0;
        loop {
            tokio::task::yield_now().await;
            let now = self.0.lock().waiting.len();
            if now == waiting {
                return;
            }
            waiting = now;
        }
    }

    /// Returns the right to send the next request, and whether many have asked lately; or a place among those who wait.
    fn join(self: &Arc<Self>) -> Result<(Round<T>, bool), oneshot::Receiver<Turn<T>>> {
        let mut state = self.0.lock();
        if state.under_way {
            let (turn_tx, turn_rx) = oneshot::channel();
            state.waiting.push(turn_tx);
            return Err(turn_rx);
        }
        state.under_way = true;
        Ok((Round { rounds: self.clone(), others: Vec::new(), handed_on: false }, state.crowded))
    }
}

impl<T: Clone> Round<T> {
    /// Takes in all who wait: what is sent from here on is sent after they asked.
    fn gather(&mut self) {
        let mut state = self.rounds.0.lock();
        self.others.append(&mut state.waiting);
        state.crowded = !self.others.is_empty();
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
                others = std::mem::take(&mut state.waiting);
                if others.is_empty() {
                    state.under_way = false;
                    return;
                }
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
        let got = ask(&rounds, &sent, 100).await;
        assert_eq!((got[0], &got[1..]), (1, &[2; 99][..]));
    }

    #[tokio::test]
    async fn where_many_ask_again_and_again_each_request_is_for_all() {
        let (rounds, sent) = (Arc::default(), AtomicUsize::new(0));
        ask(&rounds, &sent, 100).await;
        for round in 3..9 {
            assert_eq!(ask(&rounds, &sent, 100).await, [round; 100]);
        }
        assert_eq!(ask(&rounds, &sent, 1).await, [9]);
    }
}
