//! The position that a read has to know: one round trip for all reads that begin before it is sent.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use undercurrent_types::{Name, Position, Token};

use super::connection::{Answer, Call, Link};
use super::names::Workspaces;
use super::order::Since;
use super::reply::Malformed;
use super::scripts::BARRIER;
use crate::store::StoreError;

/// At most one barrier under way, and those who wait for the next one.
///
/// A mutex held for the time of a push. Whoever waits is a read that is being made, so their number is that of the
/// reads.
#[derive(Default)]
pub(super) struct Barriers(Mutex<Rounds>);

#[derive(Default)]
struct Rounds {
    under_way: bool,
    waiting: Vec<oneshot::Sender<Turn>>,
}

/// What somebody who waits is told.
enum Turn {
    Done(Result<Token, StoreError>),
    /// To send the next barrier, for these others as well.
    Send(Round),
}

/// The right and the duty to send the next barrier. Dropping it hands both on.
struct Round {
    barriers: Arc<Barriers>,
    others: Vec<oneshot::Sender<Turn>>,
    /// Set where somebody else has them already.
    handed_on: bool,
}

impl Barriers {
    /// Returns the position of a barrier that is sent after the call; others share it.
    ///
    /// Dropping the future ends nothing for the others.
    pub(super) async fn share<F>(self: &Arc<Self>, send: impl FnOnce() -> F) -> Result<Token, StoreError>
    where
        F: Future<Output = Result<Token, StoreError>>,
    {
        let round = match self.join() {
            Ok(round) => round,
            Err(turn_rx) => match turn_rx.await {
                Ok(Turn::Done(result)) => return result,
                Ok(Turn::Send(round)) => round,
                Err(_) => return Err(StoreError::Closed),
            },
        };
        let result = send().await;
        round.end(&result);
        result
    }

    fn join(self: &Arc<Self>) -> Result<Round, oneshot::Receiver<Turn>> {
        let mut rounds = self.0.lock();
        if rounds.under_way {
            let (turn_tx, turn_rx) = oneshot::channel();
            rounds.waiting.push(turn_tx);
            return Err(turn_rx);
        }
        rounds.under_way = true;
        Ok(Round { barriers: self.clone(), others: Vec::new(), handed_on: false })
    }
}

impl Round {
    /// Tells the others, and hands on.
    fn end(mut self, result: &Result<Token, StoreError>) {
        for turn_tx in self.others.drain(..) {
            // One that does not wait any more needs no answer.
            let _ = turn_tx.send(Turn::Done(result.clone()));
        }
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        if self.handed_on {
            return;
        }
        let mut others = std::mem::take(&mut self.others);
        loop {
            if others.is_empty() {
                let mut rounds = self.barriers.0.lock();
                others = std::mem::take(&mut rounds.waiting);
                if others.is_empty() {
                    rounds.under_way = false;
                    return;
                }
            }
            let Some(next_tx) = others.pop() else { continue };
            let round = Self { barriers: self.barriers.clone(), others, handed_on: false };
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

/// Asks the server for the position now, and takes in what was moved until then. One at a time.
pub(super) async fn barrier(link: &Link) -> Result<Token, StoreError> {
    loop {
        let mut answer = link.ask(&Call::of(&BARRIER)).await?;
        let since = read(&link.keys.workspaces, &mut answer).map_err(|e| link.malformed(e))?;
        if link.order.apply(&since, &answer) {
            return Ok(answer.at.at);
        }
    }
}

fn read(workspaces: &Workspaces, answer: &mut Answer) -> Result<Since, Malformed> {
    if answer.rest.text()? == "jump" {
        return Ok(Since::Jump);
    }
    let mut records = Vec::new();
    while answer.rest.left() > 0 {
        let at = Position(answer.rest.parse()?);
        match names(workspaces, &answer.rest.text()?) {
            Some(names) => records.push((at, names)),
            None => return Ok(Since::Jump),
        }
    }
    Ok(Since::Moved(records))
}

/// Reads the names of a record of the log; `None` where one of them is none, so that nobody can say what was moved.
fn names(workspaces: &Workspaces, lines: &str) -> Option<Vec<Name>> {
    lines.lines().map(|line| workspaces.name(line.split_once(' ')?.1)).collect()
}
