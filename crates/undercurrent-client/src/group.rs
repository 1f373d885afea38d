//! Groups: making them, and being a member of one.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use undercurrent_types::wire::{Fetched, GroupDeleted, GroupOptions, GroupStatus, Leases, Settled};
use undercurrent_types::{GroupName, Lease};

use crate::client::Client;
use crate::error::ClientError;

/// A group of the daemon, as its members use it.
#[derive(Clone, Debug)]
pub struct Group {
    client: Client,
    name: GroupName,
}

impl Client {
    /// Returns every group with how far it is.
    ///
    /// # Errors
    ///
    /// Fails as the daemon says.
    pub async fn groups(&self) -> Result<Vec<GroupStatus>, ClientError> {
        self.json(self.request(Method::GET, "/v1/groups")).await
    }

    /// Makes a group on a stream, or sets what of one that is there may be changed. A setting that is not named stays
    /// as it is.
    ///
    /// # Errors
    ///
    /// Fails with `conflict` if it is there and what is named of it is fixed, and as the daemon says.
    pub async fn create_group(
        &self,
        group: &GroupName,
        options: &GroupOptions,
    ) -> Result<GroupStatus, ClientError> {
        let millis = |ms: u64| format!("{ms}ms");
        let named = [
            ("stream", options.stream.as_ref().map(ToString::to_string)),
            ("from", options.from.clone()),
            ("order", options.order.map(|order| order.to_string())),
            ("lease", options.lease_ms.map(millis)),
            ("max_deliveries", options.max_deliveries.map(|most| most.to_string())),
            ("backoff", options.backoff_ms.map(millis)),
            ("max_backoff", options.max_backoff_ms.map(millis)),
            ("max_open", options.max_open.map(|most| most.to_string())),
            ("dead_letters", options.dead_letters.as_ref().map(ToString::to_string)),
        ];
        let query: Vec<_> = named.into_iter().filter_map(|(name, text)| Some((name, text?))).collect();
        self.json(self.request(Method::PUT, &format!("/v1/groups/{group}")).query(&query)).await
    }

    /// Deletes a group. The stream and its events stay.
    ///
    /// # Errors
    ///
    /// Fails with `not_found` if there is none, and as the daemon says.
    pub async fn delete_group(&self, group: &GroupName) -> Result<GroupDeleted, ClientError> {
        self.json(self.request(Method::DELETE, &format!("/v1/groups/{group}"))).await
    }

    /// Returns a group, whether it is there or not: what it is asked says so.
    pub fn group(&self, name: GroupName) -> Group {
        Group { client: self.clone(), name }
    }
}

impl Group {
    /// Returns its name.
    pub fn name(&self) -> &GroupName {
        &self.name
    }

    /// Returns its settings, and how far it is.
    ///
    /// # Errors
    ///
    /// Fails as the daemon says.
    pub async fn status(&self) -> Result<GroupStatus, ClientError> {
        self.client.json(self.client.request(Method::GET, &format!("/v1/groups/{}", self.name))).await
    }

    /// Asks for up to `most` events, each with a lease: at once if there are some, else as soon as there are; none when
    /// `wait` is over, which is at most 60 s.
    ///
    /// If the connection breaks after the daemon has answered, the events come again when their leases run out.
    ///
    /// # Errors
    ///
    /// Fails as the daemon says.
    pub async fn fetch(&self, most: usize, wait: Duration) -> Result<Fetched, ClientError> {
        let query = [("max", most.to_string()), ("wait", format!("{}ms", wait.as_millis()))];
        self.client.json(self.post("fetch").query(&query)).await
    }

    /// Says that events are done. When it returns they are not given again.
    ///
    /// # Errors
    ///
    /// Fails with `conflict` if a lease does not count any more; what was said of the others is done.
    pub async fn ack(&self, leases: Vec<Lease>) -> Result<Settled, ClientError> {
        self.settle("ack", Leases { leases, ..Leases::default() }).await
    }

    /// Says that events have to be given again: after `delay`, or after the group's back-off.
    ///
    /// # Errors
    ///
    /// Fails as [`Group::ack`] does.
    pub async fn nack(
        &self,
        leases: Vec<Lease>,
        delay: Option<Duration>,
        reason: Option<String>,
    ) -> Result<Settled, ClientError> {
        let delay_ms = delay.map(millis);
        self.settle("nack", Leases { leases, delay_ms, reason, ..Leases::default() }).await
    }

    /// Has leases last for so much longer from now, or for as long again as they do by default.
    ///
    /// # Errors
    ///
    /// Fails as [`Group::ack`] does.
    pub async fn extend(&self, leases: Vec<Lease>, by: Option<Duration>) -> Result<Settled, ClientError> {
        self.settle("extend", Leases { leases, lease_ms: by.map(millis), ..Leases::default() }).await
    }

    /// Makes events dead letters, at once.
    ///
    /// # Errors
    ///
    /// Fails as [`Group::ack`] does.
    pub async fn term(&self, leases: Vec<Lease>, reason: Option<String>) -> Result<Settled, ClientError> {
        self.settle("term", Leases { leases, reason, ..Leases::default() }).await
    }

    /// Gives events back as if they had not been given: what a member does that goes.
    ///
    /// # Errors
    ///
    /// Fails as [`Group::ack`] does.
    pub async fn release(&self, leases: Vec<Lease>) -> Result<Settled, ClientError> {
        self.settle("release", Leases { leases, ..Leases::default() }).await
    }

    async fn settle(&self, verb: &str, said: Leases) -> Result<Settled, ClientError> {
        let body = serde_json::to_vec(&said)
            .map_err(|error| self.client.foreign(format!("the leases have no JSON: {error}")))?;
        self.client.json(self.post(verb).header(CONTENT_TYPE, "application/json").body(body)).await
    }

    fn post(&self, verb: &str) -> reqwest::RequestBuilder {
        self.client.request(Method::POST, &format!("/v1/groups/{}/{verb}", self.name))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
