//! Values that the store keeps for all of its nodes.

use undercurrent_types::{Name, Position, Token};

use super::claim::incarnation_text;
use super::connection::{Call, Link};
use super::scripts::COMMIT;
use crate::store::{Commit, Committed, StoreError};

/// Evaluates the predicate over the names of a value.
pub(super) async fn commit(link: &Link, commit: Commit<'_>) -> Result<Committed, StoreError> {
    let announced = commit.announce.map_or("", |key| key.as_str());
    let mut call = Call::of(&COMMIT).arg(incarnation_text(commit.h.inc)).number(commit.h.position.0).arg(announced);
    commit.closure.iter().for_each(|name| call.push(name.as_str()));
    let mut answer = link.ask(&call).await?;
    let verdict = answer.rest.text().map_err(|e| link.malformed(e))?;
    Ok(match &*verdict {
        "valid" => {
            if let Some(key) = commit.announce {
                link.order.raise([&Name::from(key)], answer.at.at);
            }
            Committed::Accepted(answer.at.at.position)
        }
        "doubt" => Committed::InDoubt,
        _ => Committed::Moved,
    })
}

/// Evaluates the predicate over names now.
pub(super) async fn valid(
    link: &Link,
    closure: &[Name],
    as_of: Token,
) -> Result<Option<Position>, StoreError> {
    Ok(match commit(link, Commit::of(as_of, closure)).await? {
        Committed::Accepted(position) => Some(position),
        Committed::Moved | Committed::InDoubt => None,
    })
}
