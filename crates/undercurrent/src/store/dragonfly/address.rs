//! Where the server of a namespace is, by those who know it: they tell an address and nothing else.

use redis::{Cmd, RedisResult, Value};

use super::connect::{ConnectError, Connector, Wire};
use super::keys::Keys;
use super::reply::{Malformed, Reply};

type Address = (String, u16);

impl Connector {
    /// Asks sentinels, in their order, where the primary of a name is.
    pub(super) async fn primary_of(
        &self,
        sentinels: &[Address],
        name: &str,
        tls: bool,
    ) -> Result<Address, ConnectError> {
        let mut command = Cmd::new();
        command.arg("SENTINEL").arg("get-master-addr-by-name").arg(name);
        let mut reasons = Vec::new();
        for (host, port) in sentinels {
            match self.ask_one(host, *port, tls, &command).await {
                Ok((Value::Nil, _)) => reasons.push(format!("`{host}:{port}` knows no primary `{name}`")),
                Ok((value, _)) => match read_address(value) {
                    Ok(address) => return Ok(address),
                    Err(e) => reasons.push(e.to_string()),
                },
                Err(reason) => reasons.push(reason),
            }
        }
        Err(ConnectError::Unknown(reasons.join("; ")))
    }

    /// Asks nodes of a cluster, in their order, where the keys of the namespace lie.
    pub(super) async fn owner_in(&self, nodes: &[Address], tls: bool) -> Result<Address, ConnectError> {
        let keys = Keys::new(&self.options.prefix, &self.options.namespace, &self.options.workspace);
        let (mut slot_of, mut slots) = (Cmd::new(), Cmd::new());
        slot_of.arg("CLUSTER").arg("KEYSLOT").arg(&keys.order[0]);
        slots.arg("CLUSTER").arg("SLOTS");
        let mut reasons = Vec::new();
        for (host, port) in nodes {
            let found = async {
                let (slot, wire) = self.ask_one(host, *port, tls, &slot_of).await?;
                let Value::Int(slot) = slot else { return Err(format!("a slot is {slot:?}")) };
                let ranges = wire.send(&slots).await.map_err(|e| format!("`{host}:{port}`: {e}"))?;
                owner(ranges, slot).map_err(|e| e.to_string())
            };
            match found.await {
                // A node that does not know its own address means the one that it was asked at.
                Ok(Some((owner, port))) if owner.is_empty() => return Ok((host.clone(), port)),
                Ok(Some(address)) => return Ok(address),
                Ok(None) => reasons.push(format!("`{host}:{port}` knows nobody who has the slot")),
                Err(reason) => reasons.push(reason),
            }
        }
        Err(ConnectError::Unknown(reasons.join("; ")))
    }

    /// Asks one of those who know; says who we are only where that is wanted.
    async fn ask_one(
        &self,
        host: &str,
        port: u16,
        tls: bool,
        command: &Cmd,
    ) -> Result<(Value, Wire), String> {
        let wire = self.nameless(host, port, tls).await.map_err(|e| e.to_string())?;
        let mut answer: RedisResult<Value> = wire.send(command).await;
        if answer.as_ref().is_err_and(|e| matches!(e.code(), Some("NOAUTH" | "NOPERM"))) {
            self.authenticate(&wire).await.map_err(|e| e.to_string())?;
            answer = wire.send(command).await;
        }
        Ok((answer.map_err(|e| format!("`{host}:{port}`: {e}"))?, wire))
    }
}

fn read_address(value: Value) -> Result<Address, Malformed> {
    let mut reply = Reply::open(value)?;
    Ok((reply.text()?, reply.parse()?))
}

/// Finds the primary of a slot among the ranges of CLUSTER SLOTS.
fn owner(ranges: Value, slot: i64) -> Result<Option<Address>, Malformed> {
    let mut ranges = Reply::open(ranges)?;
    while ranges.left() > 0 {
        let mut range = ranges.array()?;
        let (first, last): (i64, i64) = (range.parse()?, range.parse()?);
        if (first..=last).contains(&slot) {
            let mut primary = range.array()?;
            return Ok(Some((primary.text()?, primary.parse()?)));
        }
    }
    Ok(None)
}
