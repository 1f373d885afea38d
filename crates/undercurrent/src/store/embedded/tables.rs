//! The rows of the tables: the newest, which a write is compared with, and the durable, which readers see.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use parking_lot::Mutex;
use undercurrent_types::Position;

use super::codec::{Fields, Malformed, Out};
use crate::store::{PublishError, Row, RowCheck, RowWrite, Secret};

/// The most rows of one table.
const ROWS: usize = 1 << 16;
/// The most bytes of one table, ids and values.
const BYTES: usize = 256 << 20;
/// The most bytes of one value.
pub(super) const VALUE: usize = 1 << 20;

/// All tables. A mutex held for the time of a look, by publishers that write rows, the flusher and readers.
///
/// Bounded for each table in rows and bytes: a write beyond them is refused.
#[derive(Default)]
pub(super) struct Tables(Mutex<HashMap<Box<str>, Table>>);

#[derive(Default)]
struct Table {
    rows: BTreeMap<Box<str>, Cell>,
    /// The ids and newest values.
    bytes: usize,
}

/// One row, as it was last written and as it was last durable. Gone when both are.
#[derive(Default)]
struct Cell {
    newest: Option<Row>,
    shown: Option<Row>,
}

impl Tables {
    /// Refuses what was decided by a row that has been written since.
    pub(super) fn check_held(&self, holds: &[RowCheck]) -> Result<(), PublishError> {
        let tables = self.0.lock();
        let stands = |hold: &RowCheck| {
            let cell = tables.get(hold.table).and_then(|table| table.rows.get(hold.id));
            cell.and_then(|cell| cell.newest.as_ref()).is_some_and(|row| row.revision == hold.revision)
        };
        match holds.iter().find(|hold| !stands(hold)) {
            Some(RowCheck { table, id, .. }) => Err(PublishError::NotHeld { table, id }),
            None => Ok(()),
        }
    }

    /// Refuses a write whose row is not at the revision that it expects, or that has no room.
    pub(super) fn check(&self, writes: &[RowWrite]) -> Result<(), PublishError> {
        let tables = self.0.lock();
        writes.iter().try_for_each(|write| check_revision(&tables, write))?;
        let mut by_table: HashMap<&str, (usize, usize)> = HashMap::new();
        for write in writes.iter().filter(|write| write.value.is_some()) {
            let table = tables.get(write.table);
            let (rows, bytes) = by_table
                .entry(write.table)
                .or_insert_with(|| table.map_or((0, 0), |t| (t.rows.len(), t.bytes)));
            let known = table.and_then(|table| table.rows.get(&*write.id));
            *rows += usize::from(known.is_none());
            let replaced = known.and_then(|cell| cell.newest.as_ref()).map_or(0, |row| size(&write.id, row));
            *bytes = (*bytes + write.id.len() + write.value.as_ref().map_or(0, Bytes::len))
                .saturating_sub(replaced);
            if *rows > ROWS || *bytes > BYTES {
                return Err(PublishError::TableFull {
                    table: write.table.to_owned(),
                    rows: ROWS,
                    bytes: BYTES,
                });
            }
        }
        Ok(())
    }

    /// Takes in writes that have their place in the order; readers do not see them yet.
    pub(super) fn write(&self, writes: &[RowWrite], at: Position) {
        let mut tables = self.0.lock();
        for write in writes {
            put(&mut tables, write.table, &write.id, |cell| cell.newest = row(at, write.value.clone()));
        }
    }

    /// Shows rows that are durable now.
    pub(super) fn show(&self, writes: &[RowWrite], at: Position) {
        let mut tables = self.0.lock();
        for write in writes {
            put(&mut tables, write.table, &write.id, |cell| cell.shown = row(at, write.value.clone()));
        }
    }

    /// Takes back writes that were not shown, with all that came after them.
    pub(super) fn take_back(&self, writes: &[RowWrite]) {
        let mut tables = self.0.lock();
        for write in writes {
            put(&mut tables, write.table, &write.id, |cell| cell.newest = cell.shown.clone());
        }
    }

    /// Says whether a row is what was written at a position, and nothing later.
    pub(super) fn is_newest(&self, table: &str, id: &str, at: Position) -> bool {
        let tables = self.0.lock();
        let cell = tables.get(table).and_then(|table| table.rows.get(id));
        cell.and_then(|cell| cell.newest.as_ref()).is_some_and(|row| row.revision == at)
    }

    /// Takes in a row that was found in the log.
    pub(super) fn restore(&self, table: &str, id: &str, value: Option<&[u8]>, at: Position) {
        let found = row(at, value.map(Bytes::copy_from_slice));
        put(&mut self.0.lock(), table, id, |cell| *cell = Cell { newest: found.clone(), shown: found });
    }

    /// Takes a secret out of all values; the rows keep their revisions.
    pub(super) fn scrub(&self, secret: &Secret) {
        let mut tables = self.0.lock();
        let cells = tables.values_mut().flat_map(|table| table.rows.values_mut());
        for row in cells.flat_map(|cell| [&mut cell.newest, &mut cell.shown]).flatten() {
            if let (Cow::Owned(without), _) = secret.take_out(&row.value) {
                row.value = without.into();
            }
        }
    }

    /// Writes the durable rows.
    pub(super) fn encode(&self, out: &mut Out) {
        let tables = self.0.lock();
        let rows = tables.iter().flat_map(|(name, table)| table.rows.iter().map(move |row| (name, row)));
        let shown = rows.filter_map(|(table, (id, cell))| Some((table, id, cell.shown.as_ref()?)));
        out.u64(shown.clone().count() as u64);
        for (table, id, row) in shown {
            out.bytes(table.as_bytes());
            out.bytes(id.as_bytes());
            out.u64(row.revision.0);
            out.bytes(&row.value);
        }
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
        let tables = Self::default();
        for _ in 0..fields.u64()? {
            let (table, id): (String, String) = (fields.parsed()?, fields.parsed()?);
            let at = Position(fields.u64()?);
            tables.restore(&table, &id, Some(fields.bytes()?), at);
        }
        Ok(tables)
    }

    /// Returns a row as far as it is durable.
    pub(super) fn get(&self, table: &str, id: &str) -> Option<Row> {
        self.0.lock().get(table)?.rows.get(id)?.shown.clone()
    }

    /// Returns the durable rows of all tables.
    pub(super) fn everything(&self) -> Vec<(String, String, Row)> {
        let tables = self.0.lock();
        let rows = tables.iter().flat_map(|(name, table)| table.rows.iter().map(move |row| (name, row)));
        rows.filter_map(|(name, (id, cell))| Some((name.to_string(), id.to_string(), cell.shown.clone()?)))
            .collect()
    }

    /// Returns the durable rows of a table, by id.
    pub(super) fn all(&self, table: &str) -> Vec<(String, Row)> {
        let tables = self.0.lock();
        let rows = tables.get(table).into_iter().flat_map(|table| &table.rows);
        rows.filter_map(|(id, cell)| Some((id.to_string(), cell.shown.clone()?))).collect()
    }
}

fn check_revision(tables: &HashMap<Box<str>, Table>, write: &RowWrite) -> Result<(), PublishError> {
    let Some(expected) = write.expected else { return Ok(()) };
    let cell = tables.get(write.table).and_then(|table| table.rows.get(&*write.id));
    let actual = cell.and_then(|cell| cell.newest.as_ref()).map(|row| row.revision);
    if actual == expected {
        return Ok(());
    }
    Err(PublishError::RowConflict { table: write.table.to_owned(), id: write.id.clone(), actual })
}

fn row(revision: Position, value: Option<Bytes>) -> Option<Row> {
    value.map(|value| Row { revision, value })
}

fn size(id: &str, row: &Row) -> usize {
    id.len() + row.value.len()
}

fn put(tables: &mut HashMap<Box<str>, Table>, table: &str, id: &str, change: impl FnOnce(&mut Cell)) {
    if !tables.contains_key(table) {
        tables.insert(table.into(), Table::default());
    }
    let table = tables.get_mut(table).expect("it was put there just now");
    let cell = table.rows.entry(id.into()).or_default();
    table.bytes -= cell.newest.as_ref().map_or(0, |row| size(id, row));
    change(cell);
    table.bytes += cell.newest.as_ref().map_or(0, |row| size(id, row));
    if cell.newest.is_none() && cell.shown.is_none() {
        table.rows.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(id: String, value: Option<Bytes>) -> RowWrite {
        RowWrite { table: "t", id, expected: None, value }
    }

    #[test]
    fn a_full_table_refuses_new_rows_and_takes_what_replaces_or_deletes() {
        let tables = Tables::default();
        let some = || Some(Bytes::from_static(b"v"));
        for n in 0..ROWS {
            tables.write(&[write(n.to_string(), some())], Position(n as u64));
        }
        assert!(tables.check(&[write("0".to_owned(), some()), write("1".to_owned(), None)]).is_ok());
        let error = tables.check(&[write("new".to_owned(), some())]).unwrap_err();
        assert!(matches!(error, PublishError::TableFull { rows: ROWS, .. }), "{error}");
        tables.write(&[write("1".to_owned(), None)], Position(ROWS as u64));
        assert!(tables.check(&[write("new".to_owned(), some())]).is_ok());
    }

    #[test]
    fn a_table_is_bounded_in_bytes_too() {
        let tables = Tables::default();
        let large = Bytes::from(vec![0; VALUE]);
        let count = BYTES / VALUE - 1;
        for n in 0..count {
            tables.write(&[write(n.to_string(), Some(large.clone()))], Position(n as u64));
        }
        assert!(tables.check(&[write("0".to_owned(), Some(large.clone()))]).is_ok());
        let two = [write("a".to_owned(), Some(large.clone())), write("b".to_owned(), Some(large))];
        assert!(matches!(tables.check(&two), Err(PublishError::TableFull { .. })));
    }
}
