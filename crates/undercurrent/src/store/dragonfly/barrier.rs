//! The position that a read has to know.
//!
//! Not a script, since a script costs a reader twice what the rest of its round trip does, but commands in one piece: a
//! write that changes nothing, which a replica refuses, then what is known of the order, and behind it the question which
//! server this is. Where that one is answered as expected, the server was the same primary from the claim on, so nothing
//! has to be read at one moment: what comes in between has a higher position and is left out. A server that keeps its id
//! when it is promoted again says less, so there it is a transaction.
//!
//! The rules of the scripts' beginning (`enter.lua`) are evaluated here.

use redis::{Cmd, Value};
use undercurrent_types::{Incarnation, Name, Position, Token};

use super::claim::{Mark, incarnation_text};
use super::connection::{Failed, Link};
use super::keys::Keys;
use super::names::Workspaces;
use super::order::{Known, Moved, Since};
use super::reply::{Malformed, Reply};
use super::server::Server;
use crate::ablation::{Step, skips};
use crate::store::StoreError;

/// How many records are read at once; where more have come, everything counts as moved.
const RECORDS: u64 = 512;
/// How often it is asked again because the server, or what is known of it, is another one.
const TRIES: usize = 4;

/// What the answer says.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// The position now, and what was moved.
    At(Mark, Since),
    /// It is not the server that is known.
    Elsewhere,
    /// First has to be put in doubt what nobody vouched for in time.
    Overdue,
}

/// Asks the server for the position now, and takes in what was moved until then.
/// In the model: `shared::node::barrier`.
pub(super) async fn barrier(link: &Link) -> Result<Token, StoreError> {
    let mut failed = Failed::Unavailable("the server changes again and again".to_owned());
    for _ in 0..TRIES {
        let known = link.order.known();
        let ask = |server: &Server| commands(&link.keys, &known, server.keeps_id);
        let (connection, mut values) = match link.step("barrier", ask).await {
            Ok(sent) => sent,
            Err(Failed::Unavailable(reason)) => {
                return Err(link.unavailable(Failed::Unavailable(reason)));
            }
            Err(unknown) => {
                failed = unknown;
                continue;
            }
        };
        if connection.inc() != known.seen.at.inc {
            // Another connection of this node may have found a new incarnation.
            if connection.inc() != link.order.known().seen.at.inc {
                connection.lose();
            }
            continue;
        }
        if connection.server().keeps_id {
            values = match values.pop() {
                Some(Value::Array(values)) => values,
                _ => Vec::new(),
            };
        }
        let found = judge(&link.keys.workspaces, &known, Value::Array(values));
        match found.map_err(|e| link.malformed(&e))? {
            Found::Elsewhere => connection.lose(),
            Found::Overdue => link.lapse().await.map_err(|failed| link.unavailable(failed))?,
            Found::At(mark, since) => {
                link.order.note(&mark);
                if link.order.apply(&since, &known.applied, &mark) {
                    return Ok(mark.at);
                }
            }
        }
    }
    Err(link.unavailable(failed))
}

fn commands(keys: &Keys, known: &Known, at_one_moment: bool) -> Vec<Cmd> {
    let [control, _, log, _] = &keys.order;
    let proof = if skips(Step::WriteProof) { "EXISTS" } else { "PERSIST" };
    let command = |words: &[&str]| {
        let mut command = Cmd::new();
        command.arg(words);
        command
    };
    let behind = format!("({}-0", known.applied.at.position);
    let count = (RECORDS + 1).to_string();
    let mut commands = Vec::with_capacity(6);
    commands.extend(at_one_moment.then(|| command(&["MULTI"])));
    commands.extend([
        command(&[proof, control]),
        command(&["HMGET", control, "inc", "pos", "nonce", "due"]),
        command(&["XRANGE", log, &behind, "+", "COUNT", &count]),
        command(&["TIME"]),
    ]);
    commands.extend(at_one_moment.then(|| command(&["EXEC"])));
    commands
}

/// Reads the answer, and decides what it says to somebody who knows this.
fn judge(workspaces: &Workspaces, known: &Known, answer: Value) -> Result<Found, Malformed> {
    let mut answer = Reply::open(answer)?;
    answer.text()?;
    let mut control = answer.array()?;
    let mut records = Vec::new();
    let inc = control.text_or_nil()?;
    let ours = incarnation_text(known.seen.at.inc);
    if inc.is_none_or(|inc| inc != ours && !skips(Step::IncarnationCompared)) {
        return Ok(Found::Elsewhere);
    }
    let (pos, nonce): (u64, _) = (control.parse()?, control.text()?);
    let due = control.text_or_nil()?;
    let mut log = answer.array()?;
    while log.left() > 0 {
        records.push(read_record(&mut log)?);
    }
    let mut time = answer.array()?;
    let now_ms = time.parse::<u64>()? * 1000 + time.parse::<u64>()? / 1000;
    if due.and_then(|due| due.parse::<u64>().ok()).is_some_and(|due| now_ms >= due) {
        return Ok(Found::Overdue);
    }
    let at = mark(known.seen.at.inc, pos, &nonce);
    records.retain(|record| record.at.0 <= pos);
    // Each record says the nonce of the one before it, so the next one vouches for what has been applied. None where
    // nobody can say.
    let standing = |position: Position| {
        let next = records.iter().find(|record| record.at.0 == position.0 + 1);
        if position.0 == pos { Some(&*nonce) } else { next.map(|record| &*record.before) }
    };
    let mut jump = false;
    for known in [&known.applied, &known.seen] {
        match standing(known.at.position) {
            _ if pos < known.at.position.0 => return Ok(Found::Elsewhere),
            Some(nonce) if *nonce != *known.nonce && !skips(Step::NoncesCompared) => {
                return Ok(Found::Elsewhere);
            }
            Some(_) => {}
            None => jump = true,
        }
    }
    let behind = pos - known.applied.at.position.0;
    let moved = |record: Record| {
        Some(Moved { at: record.at, names: names(workspaces, &record.names)?, before: record.before })
    };
    let moved: Option<Vec<_>> = records.into_iter().map(moved).collect();
    let moved = moved.filter(|moved| !jump && behind <= RECORDS && moved.len() as u64 == behind);
    Ok(Found::At(at, moved.map_or(Since::Jump, Since::Moved)))
}

fn mark(inc: Incarnation, pos: u64, nonce: &str) -> Mark {
    Mark { at: Token { inc, position: Position(pos) }, nonce: nonce.into() }
}

/// What a barrier looks at in a record of the log.
struct Record {
    at: Position,
    /// The nonce of the record before it.
    before: String,
    names: String,
}

fn read_record(log: &mut Reply) -> Result<Record, Malformed> {
    let mut record = log.array()?;
    let id = record.text()?;
    let at = id.split_once('-').and_then(|(position, _)| position.parse().ok());
    let at = Position(at.ok_or_else(|| Malformed(format!("`{id}` in the log")))?);
    let (mut before, mut names) = (String::new(), String::new());
    let mut fields = record.array()?;
    while fields.left() > 0 {
        match &*fields.text()? {
            "before" => before = fields.text()?,
            "names" => names = fields.text()?,
            _ => {
                fields.bytes()?;
            }
        }
    }
    Ok(Record { at, before, names })
}

/// Reads the names of a record; `None` where one of them is none, so that nobody can say what was moved.
fn names(workspaces: &Workspaces, lines: &str) -> Option<Vec<Name>> {
    lines.lines().map(|line| workspaces.name(line.split_once(' ')?.1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INC: Incarnation = Incarnation(0xabc);

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn list(words: &[&str]) -> Value {
        Value::Array(words.iter().map(|word| bulk(word)).collect())
    }

    /// An answer of a server at a position with this nonce: when something is due, and the records of its log behind what
    /// was applied, each with the nonce of the one before it.
    fn answer(inc: &str, (pos, nonce): (u64, &str), due: Option<&str>, log: &[(u64, &str)]) -> Value {
        let control = [bulk(inc), bulk(&pos.to_string()), bulk(nonce), due.map_or(Value::Nil, bulk)];
        let record = |(at, before): &(u64, &str)| {
            let fields = list(&["inc", inc, "before", before, "names", &format!("- tag:{at}"), "events", ""]);
            Value::Array(vec![bulk(&format!("{at}-0")), fields])
        };
        let log = log.iter().map(record).collect();
        Value::Array(vec![Value::Int(0), Value::Array(control.into()), Value::Array(log), list(&["9", "0"])])
    }

    fn known(applied: (u64, &str), seen: (u64, &str)) -> Known {
        Known { applied: mark(INC, applied.0, applied.1), seen: mark(INC, seen.0, seen.1) }
    }

    fn found(known: &Known, answer: Value) -> Found {
        judge(&Workspaces::new("w"), known, answer).unwrap()
    }

    #[test]
    fn what_was_moved_since_is_told_in_order() {
        let ours = incarnation_text(INC);
        let name = |n: u64| {
            let (before, names) = (format!("n{}", n - 1), vec![format!("tag:{n}").parse().unwrap()]);
            Moved { at: Position(n), before, names }
        };
        let log = [(5, "n4"), (6, "n5")];
        let told = found(&known((4, "n4"), (5, "n5")), answer(&ours, (6, "n6"), None, &log));
        assert_eq!(told, Found::At(mark(INC, 6, "n6"), Since::Moved(vec![name(5), name(6)])));
        // What came behind the position is for the next one.
        let told = found(&known((4, "n4"), (4, "n4")), answer(&ours, (5, "n5"), None, &log));
        assert_eq!(told, Found::At(mark(INC, 5, "n5"), Since::Moved(vec![name(5)])));
        let told = found(&known((6, "n6"), (6, "n6")), answer(&ours, (6, "n6"), None, &[]));
        assert_eq!(told, Found::At(mark(INC, 6, "n6"), Since::Moved(Vec::new())));
    }

    #[test]
    fn what_nobody_can_say_is_a_jump() {
        let ours = incarnation_text(INC);
        let jump = |pos, nonce: &str| Found::At(mark(INC, pos, nonce), Since::Jump);
        let at_4 = known((4, "n4"), (4, "n4"));
        assert_eq!(found(&at_4, answer(&ours, (6, "n6"), None, &[(6, "n5")])), jump(6, "n6"), "trimmed");
        let missing = answer(&ours, (7, "n7"), None, &[(5, "n4"), (7, "n6")]);
        assert_eq!(found(&at_4, missing), jump(7, "n7"), "one is missing");
        let many: Vec<_> = (5..=517).map(|n| (n, "n4")).collect();
        assert_eq!(found(&at_4, answer(&ours, (517, "n"), None, &many)), jump(517, "n"), "too many");
        let seen = known((4, "n4"), (6, "n6"));
        assert_eq!(found(&seen, answer(&ours, (8, "n8"), None, &[(5, "n4"), (6, "n5")])), jump(8, "n8"));
    }

    #[test]
    fn a_server_that_went_back_is_not_the_one_that_is_known() {
        let ours = incarnation_text(INC);
        let at_4 = || known((4, "n4"), (4, "n4"));
        let cases = [
            (at_4(), answer("0000000000000001", (4, "n4"), None, &[])),
            (at_4(), answer(&ours, (3, "n3"), None, &[])),
            (at_4(), answer(&ours, (4, "other"), None, &[])),
            (at_4(), answer(&ours, (5, "n5"), None, &[(5, "other")])),
            (known((4, "n4"), (6, "n6")), answer(&ours, (5, "n5"), None, &[(5, "n4")])),
            (known((4, "n4"), (5, "n5")), answer(&ours, (6, "n6"), None, &[(5, "n4"), (6, "other")])),
            (known((4, "n4"), (5, "n5")), answer(&ours, (5, "other"), None, &[(5, "n4")])),
        ];
        for (known, answer) in cases {
            assert_eq!(found(&known, answer), Found::Elsewhere, "{known:?}");
        }
    }

    #[test]
    fn what_is_overdue_comes_first() {
        let ours = incarnation_text(INC);
        let at_4 = known((4, "n4"), (4, "n4"));
        assert_eq!(found(&at_4, answer(&ours, (4, "n4"), Some("9000"), &[])), Found::Overdue);
        assert!(matches!(found(&at_4, answer(&ours, (4, "n4"), Some("9001"), &[])), Found::At(..)));
    }
}
