//! The position that a read has to know.
//!
//! Not a script but a transaction, since a script costs a reader twice what the rest of its round trip does: a write that
//! changes nothing, which a replica refuses, and what is known of the order, read at one moment. The rules of the
//! scripts' beginning (`enter.lua`) are evaluated here.

use redis::{Cmd, Value};
use undercurrent_types::{Incarnation, Name, Position, Token};

use super::claim::{Mark, incarnation_text};
use super::connection::{Failed, Link};
use super::keys::Keys;
use super::names::Workspaces;
use super::order::{Known, Since};
use super::reply::{Malformed, Reply};
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

/// Asks the server for the position now, and takes in what was moved until then. One at a time.
pub(super) async fn barrier(link: &Link) -> Result<Token, StoreError> {
    let mut failed = Failed::Unavailable("the server changes again and again".to_owned());
    for _ in 0..TRIES {
        let known = link.order.known();
        let (connection, mut values) = match link.step("barrier", &commands(&link.keys, &known)).await {
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
            continue;
        }
        let found = judge(&link.keys.workspaces, &known, values.pop().unwrap_or_default());
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

fn commands(keys: &Keys, known: &Known) -> [Cmd; 6] {
    let [control, _, log, _] = &keys.order;
    let proof = if skips(Step::WriteProof) { "EXISTS" } else { "PERSIST" };
    let command = |words: &[&str]| {
        let mut command = Cmd::new();
        command.arg(words);
        command
    };
    let applied = format!("{}-0", known.applied.at.position);
    let count = (RECORDS + 2).to_string();
    [
        command(&["MULTI"]),
        command(&[proof, control]),
        command(&["HMGET", control, "inc", "pos", "nonce", "due"]),
        command(&["XRANGE", log, &applied, "+", "COUNT", &count]),
        command(&["TIME"]),
        command(&["EXEC"]),
    ]
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
    // The nonce that stands at a position; none where it has been trimmed.
    let standing = |position: Position| match position.0 == pos {
        true => Some(&*nonce),
        false => records.iter().find(|record| record.at == position).map(|record| &*record.nonce),
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
    let applied = known.applied.at.position;
    let behind = pos - applied.0;
    let moved: Option<Vec<_>> = records
        .iter()
        .filter(|record| record.at > applied)
        .map(|record| Some((record.at, names(workspaces, &record.names)?)))
        .collect();
    let moved = moved.filter(|moved| !jump && behind <= RECORDS && moved.len() as u64 == behind);
    Ok(Found::At(at, moved.map_or(Since::Jump, Since::Moved)))
}

fn mark(inc: Incarnation, pos: u64, nonce: &str) -> Mark {
    Mark { at: Token { inc, position: Position(pos) }, nonce: nonce.into() }
}

/// What a barrier looks at in a record of the log.
struct Record {
    at: Position,
    nonce: String,
    names: String,
}

fn read_record(log: &mut Reply) -> Result<Record, Malformed> {
    let mut record = log.array()?;
    let id = record.text()?;
    let at = id.split_once('-').and_then(|(position, _)| position.parse().ok());
    let at = Position(at.ok_or_else(|| Malformed(format!("`{id}` in the log")))?);
    let (mut nonce, mut names) = (String::new(), String::new());
    let mut fields = record.array()?;
    while fields.left() > 0 {
        match &*fields.text()? {
            "nonce" => nonce = fields.text()?,
            "names" => names = fields.text()?,
            _ => {
                fields.bytes()?;
            }
        }
    }
    Ok(Record { at, nonce, names })
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

    /// An answer of a server at a position, with these records of its log and their nonces.
    fn answer(inc: &str, pos: u64, due: Option<&str>, log: &[(u64, &str)]) -> Value {
        let nonce = log.last().map_or("n", |(_, nonce)| nonce);
        let control = [bulk(inc), bulk(&pos.to_string()), bulk(nonce), due.map_or(Value::Nil, bulk)];
        let record = |(at, nonce): &(u64, &str)| {
            let fields = list(&["inc", inc, "nonce", nonce, "names", &format!("- tag:{at}"), "events", ""]);
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
        let log = [(4, "n4"), (5, "n5"), (6, "n6")];
        let told = found(&known((4, "n4"), (5, "n5")), answer(&ours, 6, None, &log));
        let name = |n: u64| (Position(n), vec![format!("tag:{n}").parse().unwrap()]);
        assert_eq!(told, Found::At(mark(INC, 6, "n6"), Since::Moved(vec![name(5), name(6)])));
        let told = found(&known((6, "n6"), (6, "n6")), answer(&ours, 6, None, &log[2..]));
        assert_eq!(told, Found::At(mark(INC, 6, "n6"), Since::Moved(Vec::new())));
        // Its own record may be gone already, where nothing has come since.
        let control = answer(&ours, 6, None, &[(6, "n6")]);
        assert_eq!(found(&known((6, "n6"), (6, "n6")), control), told);
    }

    #[test]
    fn what_nobody_can_say_is_a_jump() {
        let ours = incarnation_text(INC);
        let jump = |pos| Found::At(mark(INC, pos, &format!("n{pos}")), Since::Jump);
        let at_4 = known((4, "n4"), (4, "n4"));
        assert_eq!(found(&at_4, answer(&ours, 6, None, &[(6, "n6")])), jump(6), "trimmed");
        assert_eq!(found(&at_4, answer(&ours, 6, None, &[(4, "n4"), (6, "n6")])), jump(6), "one is missing");
        let many: Vec<_> = (4..=517).map(|n| (n, if n == 517 { "n517" } else { "n4" })).collect();
        assert_eq!(found(&at_4, answer(&ours, 517, None, &many)), jump(517), "too many");
    }

    #[test]
    fn a_server_that_went_back_is_not_the_one_that_is_known() {
        let ours = incarnation_text(INC);
        let cases = [
            (known((4, "n4"), (4, "n4")), answer("0000000000000001", 4, None, &[(4, "n4")])),
            (known((4, "n4"), (4, "n4")), answer(&ours, 3, None, &[(3, "n3")])),
            (known((4, "n4"), (4, "n4")), answer(&ours, 4, None, &[(4, "other")])),
            (known((4, "n4"), (4, "n4")), answer(&ours, 5, None, &[(4, "other"), (5, "n5")])),
            (known((4, "n4"), (6, "n6")), answer(&ours, 5, None, &[(4, "n4"), (5, "n5")])),
            (known((4, "n4"), (5, "n5")), answer(&ours, 6, None, &[(4, "n4"), (5, "other"), (6, "n6")])),
        ];
        for (known, answer) in cases {
            assert_eq!(found(&known, answer), Found::Elsewhere, "{known:?}");
        }
    }

    #[test]
    fn what_is_overdue_comes_first() {
        let ours = incarnation_text(INC);
        let at_4 = known((4, "n4"), (4, "n4"));
        assert_eq!(found(&at_4, answer(&ours, 4, Some("9000"), &[(4, "n4")])), Found::Overdue);
        assert!(matches!(found(&at_4, answer(&ours, 4, Some("9001"), &[(4, "n4")])), Found::At(..)));
    }
}
