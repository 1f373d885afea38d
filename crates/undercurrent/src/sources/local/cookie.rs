//! The barrier: a file is written where the same watcher sees it, and when that has come through the pipeline, so has
//! everything before it.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use undercurrent_types::Name;

use super::signal::CookieJar;
use crate::cache::{Barrier, BarrierError};

/// The cookie under way, and those who wait for the next.
pub(super) struct Cookies {
    jar: CookieJar,
    time: Duration,
    /// Those who ask while a cookie is under way wait for the next one together. Bounded because each place is one
    /// waiting read; when it is full, more of them wait for a place, within their time.
    asks_tx: mpsc::Sender<Asker>,
    /// Locked for a moment, to put a cookie in or to take it out.
    state: Mutex<State>,
}

type Answer = Result<(), String>;
type Asker = oneshot::Sender<Answer>;

enum State {
    Idle,
    UnderWay(u64, Asker),
    Closed(String),
}

/// How many reads may wait for the next cookie.
const ASKERS: usize = 1024;

impl Cookies {
    /// Returns the cookies and the task that writes them, one at a time, until it is stopped.
    pub(super) fn new(
        jar: CookieJar,
        time: Duration,
        stop: CancellationToken,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (asks_tx, asks_rx) = mpsc::channel(ASKERS);
        let cookies = Arc::new(Self { jar, time, asks_tx, state: Mutex::new(State::Idle) });
        let writer = cookies.clone().write(asks_rx);
        (cookies, async move {
            stop.run_until_cancelled(writer).await;
        })
    }

    /// Answers those who wait for this cookie: everything before it has been published.
    pub(super) fn seen(&self, number: u64) {
        let mut state = self.state.lock();
        if matches!(&*state, State::UnderWay(awaited, _) if *awaited == number)
            && let State::UnderWay(_, asker) = std::mem::replace(&mut *state, State::Idle)
        {
            // An asker that has gone no longer waits.
            let _ = asker.send(Ok(()));
        }
    }

    /// Fails the cookie under way: it, or something before it, may never come.
    pub(super) fn fail(&self, reason: &str) {
        let mut state = self.state.lock();
        if matches!(&*state, State::UnderWay(..))
            && let State::UnderWay(_, asker) = std::mem::replace(&mut *state, State::Idle)
        {
            let _ = asker.send(Err(reason.to_owned()));
        }
    }

    /// Fails this and every later cookie.
    pub(super) fn close(&self, reason: &str) {
        self.fail(reason);
        *self.state.lock() = State::Closed(reason.to_owned());
    }

    /// Says whether a cookie came back.
    pub(super) async fn sign_of_life(&self) -> bool {
        self.ask().await.is_ok()
    }

    async fn ask(&self) -> Answer {
        if let State::Closed(reason) = &*self.state.lock() {
            return Err(reason.clone());
        }
        let (asker, answer_rx) = oneshot::channel();
        let answer = async {
            self.asks_tx.send(asker).await.map_err(|_| "the source has stopped".to_owned())?;
            answer_rx.await.unwrap_or_else(|_| Err("the source has stopped".to_owned()))
        };
        let late = || Err(format!("its watcher did not answer within {} ms", self.time.as_millis()));
        timeout(self.time, answer).await.unwrap_or_else(|_| late())
    }

    async fn write(self: Arc<Self>, mut asks_rx: mpsc::Receiver<Asker>) {
        let mut askers = Vec::new();
        for number in 0.. {
            // Whoever asks from here on may have seen a change that this cookie is too early for.
            if asks_rx.recv_many(&mut askers, ASKERS).await == 0 {
                return;
            }
            let answer = self.send(number).await;
            for asker in askers.drain(..) {
                let _ = asker.send(answer.clone());
            }
        }
    }

    /// Writes one cookie and waits until it has come back.
    async fn send(&self, number: u64) -> Answer {
        let (asker, answer_rx) = oneshot::channel();
        match &mut *self.state.lock() {
            State::Closed(reason) => return Err(reason.clone()),
            state => *state = State::UnderWay(number, asker),
        }
        let path = self.jar.path(number);
        let written = tokio::task::spawn_blocking(move || -> io::Result<()> {
            fs::File::create_new(&path)?;
            fs::remove_file(&path)
        });
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                return Err(format!("no cookie can be written in `{}`: {error}", self.jar.dir.display()));
            }
            Err(_) => return Err("the source has stopped".to_owned()),
        }
        match timeout(self.time, answer_rx).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err("the cookie was given up".to_owned())),
            Err(_) => Err(format!("its watcher did not answer within {} ms", self.time.as_millis())),
        }
    }
}

/// The barrier of one root. All roots share one watcher, and so one cookie.
///
/// It does not wait for the walk of a root: until that has ended the root's scope is in doubt, and each read asks the
/// file system.
pub(super) struct RootBarrier {
    pub(super) scope: Name,
    pub(super) cookies: Arc<Cookies>,
}

impl Barrier for RootBarrier {
    fn scope(&self) -> Name {
        self.scope.clone()
    }

    fn barrier(&self) -> BoxFuture<'_, Result<(), BarrierError>> {
        Box::pin(async {
            let answer = self.cookies.ask().await;
            answer.map_err(|reason| BarrierError { scope: self.scope.clone(), reason })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(dir: &tempfile::TempDir, time: Duration) -> Arc<Cookies> {
        let jar = CookieJar { dir: dir.path().to_owned(), prefix: "x-".into() };
        let (cookies, writer) = Cookies::new(jar, time, CancellationToken::new());
        tokio::spawn(writer);
        cookies
    }

    /// Waits until the cookie with this number is under way.
    async fn under_way(cookies: &Cookies, number: u64) {
        while !matches!(&*cookies.state.lock(), State::UnderWay(now, _) if *now == number) {
            tokio::task::yield_now().await;
        }
    }

    fn ask(cookies: &Arc<Cookies>) -> tokio::task::JoinHandle<Answer> {
        let cookies = cookies.clone();
        tokio::spawn(async move { cookies.ask().await })
    }

    #[tokio::test]
    async fn who_asks_later_never_shares_a_cookie_already_written() {
        let dir = tempfile::tempdir().unwrap();
        let cookies = cookies(&dir, Duration::from_secs(60));
        let first = ask(&cookies);
        under_way(&cookies, 0).await;
        let late: Vec<_> = (0..10).map(|_| ask(&cookies)).collect();
        while cookies.asks_tx.capacity() > ASKERS - 10 {
            tokio::task::yield_now().await;
        }
        cookies.seen(0);
        assert_eq!(first.await.unwrap(), Ok(()));
        under_way(&cookies, 1).await;
        assert!(late.iter().all(|one| !one.is_finished()));
        cookies.seen(1);
        for one in late {
            assert_eq!(one.await.unwrap(), Ok(()));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "no cookie is left behind");
    }

    #[tokio::test]
    async fn a_failure_reaches_those_who_wait_and_not_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let cookies = cookies(&dir, Duration::from_secs(60));
        let first = ask(&cookies);
        under_way(&cookies, 0).await;
        cookies.fail("an overflow");
        assert_eq!(first.await.unwrap(), Err("an overflow".to_owned()));
        let next = ask(&cookies);
        under_way(&cookies, 1).await;
        cookies.seen(0);
        assert!(!next.is_finished());
        cookies.close("dead");
        assert_eq!(next.await.unwrap(), Err("dead".to_owned()));
        assert_eq!(cookies.ask().await, Err("dead".to_owned()));
    }

    #[tokio::test]
    async fn a_watcher_that_does_not_answer_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let cookies = cookies(&dir, Duration::from_millis(1));
        assert!(cookies.ask().await.unwrap_err().contains("did not answer"));
        drop(dir);
        let cookies = self::cookies(&tempfile::tempdir().unwrap(), Duration::from_secs(60));
        assert!(cookies.ask().await.unwrap_err().contains("no cookie can be written"));
    }
}
