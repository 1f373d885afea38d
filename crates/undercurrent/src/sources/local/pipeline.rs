//! The task between the watcher and the handle.
//!
//! One owner of everything that is watched: it takes what the watcher says in batches, looks, scans what is new, and
//! publishes in order. Between two batches it goes on with the walks.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use undercurrent_types::Name;

use super::LocalOptions;
use super::change::{Change, Channel, Found, invalidations};
use super::cookie::Cookies;
use super::guard::{AGAIN, Guard, doubts, leave};
use super::health::{Board, Health};
use super::lease::Lease;
use super::publish::{Publish, Refusal};
use super::signal::{CookieJar, Signal};
use super::touched::Sorter;
use super::tree::Tree;
use super::watcher::{Signals, WatchError, Watcher};
use crate::store::{Invalidation, Mark};
use crate::workspace::Workspace;

/// The events of one batch, and the signals taken at once.
const BATCH: usize = 512;

/// How long the arrival of a move is waited for when its departure was the last word, so that both are told as one. The
/// kernel says both at once; without it the departure is told as a deletion, and the arrival still says where from.
const ARRIVAL: Duration = Duration::from_millis(2);

/// The directories entered before the watcher is listened to again.
const SLICE: usize = 64;

/// The directories that are tried again at once.
const RETRIES: usize = 64;

/// After so many rounds of looking after the roots, what was refused is tried again.
const ROUNDS: u32 = 30;

pub(super) struct Pipeline {
    pub(super) publisher: Arc<dyn Publish>,
    pub(super) options: LocalOptions,
    pub(super) channels: Vec<Channel>,
    pub(super) jar: CookieJar,
    pub(super) cookies: Arc<Cookies>,
    pub(super) board: Arc<Board>,
    pub(super) lease: Arc<Lease>,
    pub(super) stop: CancellationToken,
    /// Away while it is asked, on a thread where that may wait.
    pub(super) tree: Option<Box<Tree>>,
    /// None while no watcher can be had.
    pub(super) signals: Option<Signals>,
    pub(super) sorter: Sorter,
    pub(super) standings: Vec<Standing>,
    /// Why events were not published, until a resync has said so.
    pub(super) untold: Option<String>,
    pub(super) rounds: u32,
}

/// Where a root stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is in doubt until its first walk has ended.
    First,
    /// It is in doubt until another walk has ended, for this reason.
    Again(String),
    /// It is in doubt because it can not be walked, for this reason.
    Lost(String),
    /// It has been walked, and only the store has yet to hear that it is vouched for.
    Walked,
    /// It is vouched for.
    Vouched,
}

/// Why the task ends.
pub(super) enum Ended {
    Stopped,
    Died(String),
}

impl Pipeline {
    /// Works until it is stopped, or until nothing can be watched or published any more.
    pub(super) async fn run(mut self, mut guard: Guard) {
        match self.work().await {
            Ended::Stopped => {
                leave(&guard.workspace, &self.cookies, &self.board, "it was stopped");
                // A store that takes it no more is closing too, and forgets its entries.
                let _ = self.publisher.publish(Vec::new(), doubts(&guard.workspace), "it was stopped").await;
                guard.is_over = true;
            }
            Ended::Died(reason) => guard.reason = reason,
        }
    }

    async fn work(&mut self) -> Ended {
        let mut rounds = interval(self.options.retry);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Err(ended) = self.step(&mut rounds).await {
                return ended;
            }
        }
    }

    async fn step(&mut self, rounds: &mut Interval) -> Result<(), Ended> {
        if self.signals.as_ref().is_some_and(Signals::has_overflowed) {
            return self.lose_all("the queue behind the watcher overflowed").await;
        }
        let (stop, lease) = (self.stop.clone(), self.lease.clone());
        let is_walking = self.tree().is_walking();
        let mut signals = Vec::new();
        tokio::select! {
            biased;
            () = stop.cancelled() => return Err(Ended::Stopped),
            reason = lease.revived() => {
                self.lose_all(&reason).await?;
            }
            taken = receive(self.signals.as_mut(), &mut signals) => match taken {
                0 => return Err(Ended::Died("the watcher has ended".into())),
                _ => {
                    if signals.last().is_some_and(Signal::is_departure) {
                        let arrival = receive(self.signals.as_mut(), &mut signals);
                        // Nothing more is no loss: then it went where nobody watches.
                        let _ = timeout(ARRIVAL, arrival).await;
                    }
                    self.take(signals).await?;
                }
            },
            _ = rounds.tick() => self.look_after().await?,
            () = std::future::ready(()), if is_walking => {}
        }
        if self.tree().is_walking() {
            self.walk().await?;
        }
        Ok(())
    }

    /// Looks at what the watcher says, publishes what has changed, and only then answers the cookies in it.
    async fn take(&mut self, signals: Vec<Signal>) -> Result<(), Ended> {
        let batch = self.sorter.sort(signals);
        if let Some(reason) = batch.lost {
            return self.lose_all(&reason).await;
        }
        let touched = batch.touched;
        let is_jar_touched = touched.iter().any(|one| one.path == self.jar.dir && one.entry.is_some());
        if !touched.is_empty() {
            let is_plain = self.tree().is_plain(&touched);
            let found = match is_plain {
                true => self.tree().look(&touched),
                false => self.ask(move |tree| tree.look(&touched)).await?,
            };
            self.settle(found).await?;
            if !is_plain {
                self.show_health();
            }
        }
        if is_jar_touched {
            self.renew_jar().await?;
        }
        if !batch.cookies.is_empty() {
            self.check_roots().await?;
            batch.cookies.iter().for_each(|number| self.cookies.seen(*number));
        }
        Ok(())
    }

    /// Publishes what was found, scans what is new and publishes that, until nothing is left to scan.
    async fn settle(&mut self, found: Found) -> Result<(), Ended> {
        let mut next = Some(found);
        while let Some(mut found) = next {
            let lost_roots = std::mem::take(&mut found.lost_roots);
            self.tell(found).await?;
            for (place, reason) in lost_roots {
                self.lose_root(place, reason).await?;
            }
            if self.stop.is_cancelled() {
                return Err(Ended::Stopped);
            }
            next = match self.tree().has_scans() {
                true => self.ask(|tree| tree.scan(BATCH)).await?,
                false => None,
            };
        }
        Ok(())
    }

    async fn walk(&mut self) -> Result<(), Ended> {
        let (found, ended) = self.ask(|tree| tree.walk(SLICE)).await?;
        self.settle(found).await?;
        for place in ended {
            self.standings[place] = Standing::Walked;
            self.vouch(place).await?;
        }
        Ok(())
    }

    /// Takes a root out of doubt, after its walk. What was loaded before is stale by the same step.
    async fn vouch(&mut self, place: usize) -> Result<(), Ended> {
        let scope = self.channels[place].root.scope();
        // With the scope of the source itself: it watches.
        let scopes = [scope, Workspace::source_scope()];
        let names = scopes.map(|name| Invalidation { name, mark: Mark::Vouched, event: None }).to_vec();
        match self.publisher.publish(Vec::new(), names, "every directory was walked").await {
            Ok(()) => self.standings[place] = Standing::Vouched,
            Err(Refusal::Closed) => return Err(closed()),
            // It stays in doubt, and is tried again in the next round.
            Err(Refusal::Events(_) | Refusal::Log(_)) => {}
        }
        self.show_health();
        Ok(())
    }

    /// Sees whether the roots are where they were: of a directory above one nobody says that it was moved.
    ///
    /// The look is one `lstat` for each root, so it is taken without another thread.
    async fn check_roots(&mut self) -> Result<(), Ended> {
        for place in 0..self.channels.len() {
            if let Some(reason) = self.tree().loss_of(place) {
                self.lose_root(place, reason).await?;
            }
        }
        Ok(())
    }

    /// Does what must be done again and again.
    async fn look_after(&mut self) -> Result<(), Ended> {
        self.rounds = self.rounds.wrapping_add(1);
        if self.signals.is_none() {
            self.renew_watcher().await?;
        }
        self.check_roots().await?;
        for place in 0..self.standings.len() {
            match self.standings[place] {
                Standing::Lost(_) if self.signals.is_some() => self.revive(place).await?,
                Standing::Walked => self.vouch(place).await?,
                _ => {}
            }
        }
        if self.rounds.is_multiple_of(ROUNDS) && self.signals.is_some() {
            self.ask(|tree| tree.retry_refused(RETRIES)).await?;
            self.settle(Found::default()).await?;
            self.show_health();
        }
        self.tell_untold().await
    }

    /// Puts a root in doubt that is not where it was, and walks what has taken its place, if anything has.
    async fn lose_root(&mut self, place: usize, reason: String) -> Result<(), Ended> {
        self.standings[place] = Standing::Lost(reason.clone());
        self.ask(move |tree| tree.forget_root(place)).await?;
        self.show_health();
        self.doubt(&[place], &reason).await?;
        self.revive(place).await
    }

    /// Walks a lost root again, if it is there.
    async fn revive(&mut self, place: usize) -> Result<(), Ended> {
        let before = match &self.standings[place] {
            Standing::Lost(reason) => reason.clone(),
            _ => String::new(),
        };
        self.standings[place] = match self.ask(move |tree| tree.begin_walk(place)).await? {
            Ok(()) => Standing::Again(before),
            Err(reason) => Standing::Lost(reason),
        };
        self.show_health();
        Ok(())
    }

    /// Puts every root in doubt, since something was not said, and begins anew with another watcher: what was missed
    /// may be a directory whose watches report it under its old path.
    async fn lose_all(&mut self, reason: &str) -> Result<(), Ended> {
        self.cookies.fail(reason);
        let places: Vec<usize> = (0..self.channels.len()).collect();
        for place in &places {
            let root = self.channels[*place].root.clone();
            self.tree().workspace.unset_below(&root.path);
            self.standings[*place] = Standing::Lost(reason.to_owned());
        }
        self.show_health();
        self.doubt(&places, reason).await?;
        self.renew_watcher().await?;
        for place in places {
            if self.signals.is_some() {
                self.revive(place).await?;
            }
        }
        Ok(())
    }

    /// Ends the watcher and takes another. Where none can be had, the roots stay lost until the next round.
    async fn renew_watcher(&mut self) -> Result<(), Ended> {
        self.ask(|tree| tree.watcher.close()).await?;
        if let Some(mut signals) = self.signals.take() {
            // Ends with the thread that holds the old instance, so that there are never two.
            while signals.rx.recv().await.is_some() {}
        }
        self.sorter = Sorter::default();
        let (queue, jar) = (self.options.queue, self.jar.clone());
        #[cfg(test)]
        let faults = self.options.faults.clone();
        let opened = self
            .ask(move |tree| -> Result<Signals, String> {
                #[cfg_attr(not(test), expect(unused_mut, reason = "tests put faults in"))]
                let (mut watcher, signals) = open(queue, &jar)?;
                #[cfg(test)]
                watcher.faults.clone_from(&faults);
                tree.renew(watcher);
                Ok(signals)
            })
            .await?;
        // One that was written in between was seen by neither watcher.
        self.cookies.fail("its watcher was renewed");
        match opened {
            Ok(signals) => self.signals = Some(signals),
            Err(reason) => self.standings.iter_mut().for_each(|one| *one = Standing::Lost(reason.clone())),
        }
        self.show_health();
        Ok(())
    }

    /// Makes the directory of the cookies again, which somebody took away. Until it is there, barriers fail.
    async fn renew_jar(&mut self) -> Result<(), Ended> {
        let jar = self.jar.clone();
        let watched = self.ask(move |tree| watch_jar(&mut tree.watcher, &jar)).await?;
        match watched {
            Ok(()) => self.cookies.fail("the directory of the cookies was taken away"),
            Err(reason) => return self.lose_all(&reason).await,
        }
        Ok(())
    }

    /// Puts roots in doubt, with one event for each that says so.
    async fn doubt(&mut self, places: &[usize], reason: &str) -> Result<(), Ended> {
        let now = now();
        let events = places.iter().filter_map(|place| self.channels[*place].resync(reason, &now)).collect();
        let names = places.iter().map(|place| self.channels[*place].root.scope());
        let names: Vec<_> =
            names.map(|name| Invalidation { name, mark: Mark::InDoubt, event: None }).collect();
        match self.publisher.publish(events, names.clone(), reason).await {
            Ok(()) => Ok(()),
            Err(Refusal::Closed) => Err(closed()),
            Err(refusal) => {
                self.untold = Some(refusal.to_string());
                self.move_names(names, reason).await
            }
        }
    }

    async fn tell(&mut self, found: Found) -> Result<(), Ended> {
        let Found { changes, mut names, .. } = found;
        let mut chunks = changes.chunks(BATCH).peekable();
        if chunks.peek().is_none() && !names.is_empty() {
            self.tell_batch(&[], std::mem::take(&mut names)).await?;
        }
        while let Some(chunk) = chunks.next() {
            let names = if chunks.peek().is_none() { std::mem::take(&mut names) } else { Vec::new() };
            self.tell_batch(chunk, names).await?;
        }
        Ok(())
    }

    /// Publishes changes and names at one position. If the events are refused, their names are moved all the same.
    async fn tell_batch(&mut self, changes: &[Change], names: Vec<Name>) -> Result<(), Ended> {
        let now = now();
        let mut events = Vec::with_capacity(changes.len());
        let mut bare = names;
        for change in changes {
            match self.event(change, &now) {
                Some(event) => events.push(event),
                None => bare.extend(change.names()),
            }
        }
        let cause = if bare.is_empty() { "" } else { "what is watched, or a repository within, has changed" };
        let refusal = match self.publisher.publish(events, invalidations(bare.clone()), cause).await {
            Ok(()) => return Ok(()),
            Err(refusal) => refusal,
        };
        bare.extend(changes.iter().flat_map(Change::names));
        let reason = refusal.to_string();
        match refusal {
            Refusal::Closed => Err(closed()),
            Refusal::Log(_) => {
                self.untold = Some(reason.clone());
                self.move_names(invalidations(bare), &reason).await
            }
            Refusal::Events(_) => {
                self.move_names(invalidations(bare), &reason).await?;
                self.tell_singly(changes, &now).await
            }
        }
    }

    /// Publishes the events of a refused batch one by one, since one of them is at fault. Its names have been moved.
    async fn tell_singly(&mut self, changes: &[Change], now: &str) -> Result<(), Ended> {
        for change in changes {
            let Some(event) = self.event(change, now) else { continue };
            match self.publisher.publish(vec![event], Vec::new(), "").await {
                Ok(()) | Err(Refusal::Events(_)) => {}
                Err(Refusal::Closed) => return Err(closed()),
                Err(refusal) => self.untold = Some(refusal.to_string()),
            }
        }
        Ok(())
    }

    /// Moves names without an event, however often it takes: nothing else may go on before they are stale.
    async fn move_names(&mut self, names: Vec<Invalidation>, cause: &str) -> Result<(), Ended> {
        while let Err(refusal) = self.publisher.publish(Vec::new(), names.clone(), cause).await {
            if matches!(refusal, Refusal::Closed) {
                return Err(closed());
            }
            self.cookies.fail(&refusal.to_string());
            self.board.set_all(&Health::Degraded(refusal.to_string()));
            if self.stop.clone().run_until_cancelled(sleep(AGAIN)).await.is_none() {
                return Err(Ended::Stopped);
            }
        }
        self.show_health();
        Ok(())
    }

    /// Says that events are missing, once the log takes events again.
    async fn tell_untold(&mut self) -> Result<(), Ended> {
        let Some(reason) = &self.untold else { return Ok(()) };
        let now = now();
        let events = self.channels.iter().filter_map(|channel| channel.resync(reason, &now)).collect();
        match self.publisher.publish(events, Vec::new(), "").await {
            Ok(()) => self.untold = None,
            Err(Refusal::Closed) => return Err(closed()),
            Err(Refusal::Events(_) | Refusal::Log(_)) => {}
        }
        self.show_health();
        Ok(())
    }

    fn event(&self, change: &Change, now: &str) -> Option<crate::event_stream::Outgoing> {
        let channel = self.channels.iter().find(|one| change.path.starts_with(&one.root.path));
        // A repository around the root speaks through the root.
        let channel =
            channel.or_else(|| self.channels.iter().find(|one| one.root.path.starts_with(&change.path)));
        channel?.tell(change, now)
    }

    fn show_health(&mut self) {
        for place in 0..self.standings.len() {
            let refusals = self.tree().refusals(place);
            let health = match &self.standings[place] {
                _ if self.lease.has_lapsed() => Health::Down(self.lease.reason()),
                Standing::First => Health::Starting,
                Standing::Again(reason) => Health::Again(reason.clone()),
                Standing::Lost(reason) => Health::Down(reason.clone()),
                Standing::Walked => Health::Degraded("the store does not take that it is vouched for".into()),
                Standing::Vouched => match self.untold.clone().or(refusals) {
                    Some(reason) => Health::Degraded(reason),
                    None => Health::Live,
                },
            };
            self.board.set(place, health);
        }
    }

    fn tree(&mut self) -> &mut Tree {
        self.tree.as_mut().expect("it comes back before anything else is done")
    }

    /// Asks the file system on a thread where that may wait.
    async fn ask<T: Send + 'static>(
        &mut self,
        question: impl FnOnce(&mut Tree) -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let mut tree = self.tree.take().expect("it comes back before anything else is done");
        let asked = tokio::task::spawn_blocking(move || {
            let answer = question(&mut tree);
            (tree, answer)
        });
        let (tree, answer) =
            asked.await.map_err(|error| Ended::Died(format!("looking broke off: {error}")))?;
        self.tree = Some(tree);
        Ok(answer)
    }
}

/// Takes what has been said; waits for ever where nobody says anything.
async fn receive(signals: Option<&mut Signals>, buffer: &mut Vec<Signal>) -> usize {
    match signals {
        Some(signals) => signals.rx.recv_many(buffer, BATCH).await,
        None => std::future::pending().await,
    }
}

/// Opens a watcher that sees the cookies.
pub(super) fn open(queue: usize, jar: &CookieJar) -> Result<(Watcher, Signals), String> {
    let (mut watcher, signals) = Watcher::new(queue, jar.clone()).map_err(|error| {
        format!("no watcher can be had: {error}; is fs.inotify.max_user_instances reached?")
    })?;
    watch_jar(&mut watcher, jar)?;
    Ok((watcher, signals))
}

fn watch_jar(watcher: &mut Watcher, jar: &CookieJar) -> Result<(), String> {
    let place = jar.dir.display();
    std::fs::create_dir_all(&jar.dir).map_err(|error| format!("`{place}` can not be made: {error}"))?;
    watcher.watch(&jar.dir).map_err(|error| match error {
        WatchError::Gone => format!("`{place}` is gone"),
        WatchError::Refused(reason) => format!("`{place}` can not be watched: {reason}"),
    })
}

fn closed() -> Ended {
    Ended::Died("the store is closed".into())
}

/// Returns the time for people.
pub(super) fn now() -> String {
    jiff::Timestamp::now().to_string()
}
