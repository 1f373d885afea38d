//! Reading context.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{self, Poll};

use undercurrent_types::{Key, KeyError, Level, Token};

use super::EventStream;
use super::error::ContextError;
use crate::cache::{Answer, ReadOptions};

/// A read that has not begun: say how fresh it must be, then await it.
#[must_use = "a read begins when it is awaited"]
pub struct Get<'a> {
    stream: &'a EventStream,
    key: ReadKey<'a>,
    options: ReadOptions,
}

/// A key as a read takes it: a [`Key`], or text that may be none. A kept key saves reading the text at each call.
pub enum ReadKey<'a> {
    /// A key that the caller keeps.
    Kept(&'a Key),
    /// One that was made for this read.
    Parsed(Key),
    /// A text that is none: the read says so when it is awaited. Boxed, since every read carries the room.
    NotOne(Box<KeyError>),
}

impl<'a> From<&'a Key> for ReadKey<'a> {
    #[inline]
    fn from(key: &'a Key) -> Self {
        Self::Kept(key)
    }
}

impl From<Key> for ReadKey<'_> {
    fn from(key: Key) -> Self {
        Self::Parsed(key)
    }
}

impl From<&str> for ReadKey<'_> {
    fn from(text: &str) -> Self {
        Key::parse(text).map_or_else(|error| Self::NotOne(Box::new(error)), Self::Parsed)
    }
}

impl EventStream {
    /// Reads a piece of context: the value, its version and age, the level it was served at and why it may be
    /// trusted.
    ///
    /// The read fails when the text is no key, the level is not offered, or the load fails. What is not there is an
    /// answer, not an error.
    #[inline]
    pub fn get_app_context<'a>(&'a self, key: impl Into<ReadKey<'a>>) -> Get<'a> {
        Get { stream: self, key: key.into(), options: ReadOptions::default() }
    }
}

impl<'a> Get<'a> {
    pub(super) fn stream(&self) -> &'a EventStream {
        self.stream
    }
}

impl Get<'_> {
    /// Names the level; the default of the key's kind is taken where none is named.
    #[inline]
    pub fn level(mut self, level: Level) -> Self {
        self.options.level = Some(level);
        self
    }

    /// Names a write that the read must see.
    pub fn after(mut self, token: Token) -> Self {
        self.options.after = Some(token);
        self
    }

    /// Loads, whatever is in memory.
    pub fn reload(mut self) -> Self {
        self.options.reload = true;
        self
    }

    /// Takes what is in memory when the value can not be loaded; the answer says so.
    pub fn stale_on_error(mut self) -> Self {
        self.options.stale_on_error = true;
        self
    }

    /// Takes all that a read may ask for at once.
    pub fn with(mut self, options: ReadOptions) -> Self {
        self.options = options;
        self
    }
}

impl<'a> Get<'a> {
    /// Begins a read that memory could not answer. Apart, so that the rest is small enough to be inlined.
    #[cold]
    fn missed(self) -> Reading<'a> {
        let Self { stream, key, options } = self;
        Reading(State::Missed(Box::pin(async move {
            let key = match &key {
                ReadKey::Kept(key) => *key,
                ReadKey::Parsed(key) => key,
                ReadKey::NotOne(error) => return Err((**error).clone().into()),
            };
            match stream.own_key(key) {
                Some(own) => Ok(Box::pin(stream.0.cache.get(&own, options)).await?),
                None => Ok(stream.0.cache.miss(key, options).await?),
            }
        })))
    }
}

impl<'a> IntoFuture for Get<'a> {
    type Output = Result<Answer, ContextError>;
    type IntoFuture = Reading<'a>;

    #[inline]
    fn into_future(self) -> Reading<'a> {
        let key = match &self.key {
            ReadKey::Kept(key) => *key,
            ReadKey::Parsed(key) => key,
            ReadKey::NotOne(_) => return self.missed(),
        };
        match self.stream.0.cache.hit(key, self.options) {
            Some(answer) => Reading(State::Hit(Some(answer))),
            None => self.missed(),
        }
    }
}

/// A read under way. A hit is done when it begins, without an allocation.
#[must_use = "futures do nothing unless awaited"]
pub struct Reading<'a>(State<'a>);

enum State<'a> {
    Hit(Option<Answer>),
    Missed(Pin<Box<dyn Future<Output = Result<Answer, ContextError>> + Send + 'a>>),
}

impl Future for Reading<'_> {
    type Output = Result<Answer, ContextError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Hit(answer) => {
                Poll::Ready(Ok(answer.take().expect("it is polled once after it is ready")))
            }
            State::Missed(future) => future.as_mut().poll(cx),
        }
    }
}
