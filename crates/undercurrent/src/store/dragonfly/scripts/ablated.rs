//! Scripts without a step: for the tests of the tests.

use crate::ablation::{Step, skips};

/// The lines that a step stands in, and what stands there without it.
const LINES: [(Step, &str, &str); 10] = [
    (Step::WriteProof, "redis.call('HSETNX', control, 'inc', inc)\n", "\n"),
    (Step::IncarnationCompared, "if inc ~= ARGV[1] then", "if not inc then"),
    (Step::LastRepeatsIncarnation, " or redis.call('HGET', last, 'inc') ~= inc", ""),
    (Step::LastRepeatsIncarnation, "if redis.call('HGET', last, 'inc') ~= inc then", "if not inc then"),
    (Step::LapseTakesPosition, "    take('d')\n", ""),
    (
        Step::LapseTakesPosition,
        "    record(table.concat(lines, '\\n'), '', 'nobody vouched for it in time')\n",
        "",
    ),
    (Step::ClaimBeginsAnew, "  if lost then\n", "  if not inc then\n"),
    (Step::NoncesCompared, "~= ARGV[i + 1] then", "== '' then"),
    (Step::NoncesCompared, "== known_nonce", "~= ''"),
    (
        Step::RulesHeld,
        "if not standing or string.match(standing, '^%d+') ~= revision then",
        "if not standing then",
    ),
];

/// Returns a text without the steps that are switched off on this thread.
pub(super) fn text(text: &str) -> String {
    let mut text = text.to_owned();
    for (_, line, instead) in LINES.iter().filter(|(step, ..)| skips(*step)) {
        text = text.replace(line, instead);
    }
    if skips(Step::IdBehindEvent) {
        text = ids_first(&text).unwrap_or(text);
    }
    text
}

/// Moves the part of PUBLISH that writes ids before the part that writes events.
fn ids_first(text: &str) -> Option<String> {
    let (before, rest) = text.split_once("local stamp = inc")?;
    let (events, rest) =
        rest.split_once("for _, one in ipairs(stream) do\n  if one.next > one.seq then\n    -- Two halves")?;
    let (ids, end) = rest.split_once("return answer('new')")?;
    let ids =
        format!("for _, one in ipairs(stream) do\n  if one.next > one.seq then\n    -- Two halves{ids}");
    Some(format!("{before}{ids}local stamp = inc{events}return answer('new'){end}"))
}

#[cfg(test)]
mod tests {
    use super::super::all;
    use super::{LINES, ids_first};

    #[test]
    fn every_line_stands_in_a_script() {
        for (step, line, _) in LINES {
            assert!(all().iter().any(|script| script.text.contains(line)), "{step:?}: {line}");
        }
        assert!(all().iter().any(|script| ids_first(&script.text).is_some()));
    }
}
