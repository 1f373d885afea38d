//! Rows of tables, and the last states of keys.

use bytes::Bytes;
use undercurrent_types::{Key, Position};

use super::connection::{Call, Link};
use super::reply::{Malformed, Reply};
use super::scripts::{LATEST, ROWS};
use crate::store::{Row, StoreError};

impl Link {
    /// Returns a row of a table.
    pub(super) async fn row(&self, table: &str, id: &str) -> Result<Option<Row>, StoreError> {
        let call = Call::of(&ROWS).key(self.keys.table(table)).arg(id);
        let rows = read(self.ask(&call).await?.rest).map_err(|e| self.malformed(&e))?;
        Ok(rows.into_iter().next().map(|(_, row)| row))
    }

    /// Returns the rows of a table, by id.
    pub(super) async fn rows(&self, table: &str) -> Result<Vec<(String, Row)>, StoreError> {
        let call = Call::of(&ROWS).key(self.keys.table(table));
        let mut rows = read(self.ask(&call).await?.rest).map_err(|e| self.malformed(&e))?;
        rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(rows)
    }

    /// Returns the last state of a key.
    pub(super) async fn latest(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        let mut answer = self.ask(&Call::of(&LATEST).key(self.keys.latest(key))).await?;
        let value = answer.rest.bytes_or_nil().map_err(|e| self.malformed(&e))?;
        Ok(value.map(Bytes::from))
    }
}

fn read(mut rest: Reply) -> Result<Vec<(String, Row)>, Malformed> {
    let mut rows = Vec::with_capacity(rest.left() / 2);
    while rest.left() > 0 {
        let (id, told) = (rest.text()?, Bytes::from(rest.bytes()?));
        let bad = || Malformed(format!("row `{id}` has no revision"));
        let end = told.iter().position(|byte| *byte == b' ').ok_or_else(bad)?;
        let revision = std::str::from_utf8(&told[..end]).ok().and_then(|text| text.parse().ok());
        let revision = Position(revision.ok_or_else(bad)?);
        rows.push((id, Row { revision, value: told.slice(end + 1..) }));
    }
    Ok(rows)
}
