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
}

impl<T> Default for Rounds<T> {
    fn default() -> Self {
        Self(Mutex::new(State { under_way: false, waiting: Vec::new() }))
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
        let round = match self.join() {
            Ok(round) => round,
            Err(turn_rx) => match turn_rx.await.ok()? {
                Turn::Done(answer) => return Some(answer),
                Turn::Send(round) => round,
            },
        };
        let answer = send().await;
        round.end(&answer);
        Some(answer)
    }

    fn join(self: &Arc<Self>) -> Result<Round<T>, oneshot::Receiver<Turn<T>>> {
        let mut state = self.0.lock();
        if state.under_way {
            let (turn_tx, turn_rx) = oneshot::channel();
            state.waiting.push(turn_tx);
            return Err(turn_rx);
        }
        state.under_way = true;
        Ok(Round { rounds: self.clone(), others: Vec::new(), handed_on: false })
    }
}

impl<T: Clone> Round<T> {
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
