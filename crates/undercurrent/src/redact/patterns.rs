//! The forms of keys that are known to be secret.
//!
//! Each is a form that its maker documents, or that scanners agree on; a form that ordinary text may have is left out.
//! What is taken out never crosses a quote, so in JSON it lies in one string, and only a private key crosses a line end,
//! so that a text can be looked at line by line.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::packed::Searcher;
use regex::bytes::{Captures, Regex};

/// The kind of each secret, with what it looks like.
///
/// Sources: GitHub "About authentication to GitHub: token formats"; AWS IAM "Unique identifiers"; Slack "Token types" and
/// "Incoming webhooks"; Google Cloud "API keys" and "OAuth 2.0"; Stripe "API keys" and "Webhooks"; Anthropic, OpenAI, xAI,
/// Groq, Replicate and Hugging Face, keys as they issue them; GitLab "Token overview: token prefixes"; npm "About access
/// tokens"; PyPI "Using a token"; RubyGems, keys as it issues them; Docker "Access tokens"; DigitalOcean
/// "Personal access tokens"; Databricks "Personal access tokens"; SendGrid "API keys"; Shopify "Access tokens"; HashiCorp
/// Vault "Tokens"; Grafana "Service account tokens"; Linear and Notion, keys as they issue them; Azure "Storage connection
/// strings"; Telegram "Bot API: authorizing your bot"; age "the X25519 recipient type"; RFC 7519 (JWT), RFC 7468 (PEM), RFC
/// 4880 (PGP), RFC 6750 (bearer), RFC 7617 (basic), RFC 3986 (a password in a URL).
const PATTERNS: [Pattern; 34] = [
    Pattern::of(
        "github",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}",
    ),
    Pattern::of("aws", &["AKIA", "ASIA", "ABIA", "ACCA"], r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    Pattern {
        kind: "aws_secret",
        words: &["secret_access_key", "SECRET_ACCESS_KEY", "ecretAccessKey", "secret_key", "SECRET_KEY"],
        before: r#"(?:aws_secret(?:_access)?_key|AWS_SECRET(?:_ACCESS)?_KEY|[sS]ecretAccessKey)\\?["']?[ \t]{0,4}[:=][ \t]{0,4}\\?["']?"#,
        secret: r"[A-Za-z0-9/+]{40}",
        after: "",
    },
    Pattern::of("slack", &["xox", "xapp-"], r"xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{20,}"),
    Pattern {
        kind: "slack_webhook",
        words: &["://"],
        before: r"https://hooks\.slack\.com/(?:services|workflows|triggers)/",
        secret: r"[A-Za-z0-9/_-]{20,}",
        after: "",
    },
    Pattern::of(
        "google",
        &["AIza", "GOCSPX-", "ya29."],
        r"AIza[0-9A-Za-z_-]{35}|GOCSPX-[0-9A-Za-z_-]{28}|ya29\.[0-9A-Za-z_-]{20,}",
    ),
    Pattern::of(
        "stripe",
        &["k_live_", "k_test_", "whsec_"],
        r"[rs]k_(?:live|test)_[0-9A-Za-z]{16,}|whsec_[A-Za-z0-9+/]{32,}",
    ),
    Pattern::of("anthropic", &["sk-"], r"sk-ant-[A-Za-z0-9_-]{20,}"),
    Pattern::of("openai", &["sk-"], r"sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_]{20,}[A-Za-z0-9_-]*"),
    Pattern::of("xai", &["xai-"], r"xai-[A-Za-z0-9]{70,}"),
    Pattern::of("groq", &["gsk_"], r"gsk_[A-Za-z0-9]{48,}"),
    Pattern::of("replicate", &["r8_"], r"r8_[A-Za-z0-9]{37,40}\b"),
    Pattern::of("huggingface", &["hf_"], r"hf_[A-Za-z0-9]{34}\b"),
    Pattern::of(
        "gitlab",
        &["glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "gloas-"],
        r"gl(?:pat|dt|rt|cbt|ptt|ft|oas)-[A-Za-z0-9_-]{20,}",
    ),
    Pattern::of("npm", &["npm_"], r"npm_[A-Za-z0-9]{36}\b"),
    Pattern::of("pypi", &["pypi-"], r"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}"),
    Pattern::of("rubygems", &["rubygems_"], r"rubygems_[a-f0-9]{48}\b"),
    Pattern::of("docker", &["dckr_"], r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{27,}"),
    Pattern::of("digitalocean", &["dop_v1_", "doo_v1_", "dor_v1_"], r"do[opr]_v1_[a-f0-9]{64}\b"),
    Pattern::of("databricks", &["dapi"], r"dapi[a-f0-9]{32}\b"),
    Pattern::of("sendgrid", &["SG."], r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    Pattern::of(
        "shopify",
        &["shpat_", "shpca_", "shppa_", "shpss_"],
        r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b",
    ),
    Pattern::of("vault", &["hvs.", "hvb.", "hvr."], r"hv[sbr]\.[A-Za-z0-9_-]{24,}"),
    Pattern::of(
        "grafana",
        &["glsa_", "glc_"],
        r"glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}\b|glc_[A-Za-z0-9+/]{32,}",
    ),
    Pattern::of("linear", &["lin_api_"], r"lin_api_[A-Za-z0-9]{40}\b"),
    Pattern::of("notion", &["ntn_"], r"ntn_[A-Za-z0-9]{40,}"),
    Pattern {
        kind: "azure",
        words: &["AccountKey=", "SharedAccessKey="],
        before: r"\b(?:AccountKey|SharedAccessKey)=",
        secret: r"[A-Za-z0-9+/]{43,86}=*",
        after: "",
    },
    Pattern::of("telegram", &[":AA"], r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
    Pattern::of("age", &["AGE-SECRET-KEY-1"], r"AGE-SECRET-KEY-1[0-9A-Z]{58}\b"),
    Pattern::of("jwt", &["eyJ"], r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    Pattern {
        kind: "private_key",
        words: &["-----BEGIN"],
        before: "",
        // A single hyphen may stand in the headers of an encrypted one.
        secret: r#"-----BEGIN [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----(?-u:[^-"]|-[^-"])*(?:-----END [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----)?"#,
        after: "",
    },
    Pattern {
        kind: "bearer",
        words: &["Bearer", "bearer", "BEARER"],
        before: r"\b(?:Bearer|bearer|BEARER) {1,4}",
        secret: r"[A-Za-z0-9._~+/-]{20,}=*",
        after: "",
    },
    Pattern {
        kind: "basic",
        words: &["uthorization:"],
        before: r"\b[Aa]uthorization: {0,4}[Bb]asic {1,4}",
        secret: r"[A-Za-z0-9+/]{8,}=*",
        after: "",
    },
    Pattern {
        kind: "url_password",
        words: &["://"],
        before: r#"\b[a-z][a-z0-9+.-]{1,20}://[^/\s:@"\\]{0,100}:"#,
        secret: r#"[^/\s@"\\]{1,200}"#,
        after: "@",
    },
];

/// What a secret looks like, and what stands around it.
struct Pattern {
    kind: &'static str,
    /// Each such secret has one of these in it or before it.
    words: &'static [&'static str],
    before: &'static str,
    secret: &'static str,
    after: &'static str,
}

impl Pattern {
    /// A word of its own, which in JSON may follow an escaped line break or tab.
    const fn of(kind: &'static str, words: &'static [&'static str], secret: &'static str) -> Self {
        Self { kind, words, before: r"(?:\b|\\[nrtbf])", secret, after: "" }
    }
}

/// All of them in one, each secret in the group of its kind.
static ANY: LazyLock<Regex> = LazyLock::new(|| {
    let all = PATTERNS
        .map(|Pattern { kind, before, secret, after, .. }| format!("{before}(?<{kind}>{secret}){after}"));
    Regex::new(&all.join("|")).expect("the patterns are right")
});

/// Look for the words of all patterns at once, many bytes at a time, since hardly any text has one. The short words have
/// one of their own: what is looked at first is as long as the shortest word. `None` on a machine that can not.
static WORDS: LazyLock<[Option<Searcher>; 2]> = LazyLock::new(|| {
    let (short, long): (Vec<&str>, Vec<_>) =
        PATTERNS.iter().flat_map(|pattern| pattern.words).partition(|word| word.len() < 4);
    [short, long].map(Searcher::new)
});

/// Says whether a text has what every secret has, so that it is worth a closer look.
fn may_be_in(text: &[u8]) -> bool {
    WORDS.iter().any(|words| words.as_ref().is_none_or(|words| words.find(text).is_some()))
}

/// The last line of a private key.
static END: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^-----END [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----").expect("the pattern is right")
});
/// The longest that it can be.
pub(super) const LONGEST_END: usize = 9 + 20 + 11 + 6 + 5;

/// A secret with what stands around it.
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
    /// What stands in its place.
    pub(super) mark: String,
    /// Whether it is a private key, which may go on behind its end where the text ends there.
    pub(super) is_key: bool,
}

/// Finds the first secret that begins at a place or behind it.
pub(super) fn find_at(text: &[u8], from: usize) -> Option<Found> {
    if !may_be_in(&text[from..]) {
        return None;
    }
    let found = ANY.captures_at(text, from)?;
    let whole = found.get_match();
    let is_key = found.name("private_key").is_some();
    let mark = String::from_utf8_lossy(&mark(&found)).into_owned();
    Some(Found { start: whole.start(), end: whole.end(), mark, is_key })
}

/// Returns how much of a text belongs to a private key that began before it, and whether the key ends there; nothing if
/// that needs more of the text.
pub(super) fn rest_of_key(text: &[u8], is_last: bool) -> Option<(usize, bool)> {
    let mut at = 0;
    loop {
        let Some(stop) = memchr::memchr2(b'-', b'"', &text[at..]) else { return Some((text.len(), false)) };
        at += stop;
        match (text[at], text.get(at + 1)) {
            (b'-', None) if !is_last => return (at > 0).then_some((at, false)),
            (b'-', Some(next)) if !b"-\"".contains(next) => at += 2,
            (b'-', Some(b'-')) => {
                let rest = &text[at..];
                if let Some(end) = END.find(rest) {
                    return Some((at + end.end(), true));
                }
                let may_become_one =
                    rest.len() < LONGEST_END && !rest.iter().any(|byte| b"\r\n".contains(byte));
                return match (may_become_one && !is_last, at) {
                    (true, 0) => None,
                    (true, at) => Some((at, false)),
                    (false, at) => Some((at, true)),
                };
            }
            _ => return Some((at, true)),
        }
    }
}

/// Replaces what is secret in a text by marks that say its kind, and returns how often.
pub(super) fn take_out(text: &[u8]) -> (Cow<'_, [u8]>, u64) {
    if !may_be_in(text) {
        return (Cow::Borrowed(text), 0);
    }
    let mut count = 0;
    let without = ANY.replace_all(text, |found: &Captures<'_>| {
        count += 1;
        mark(found)
    });
    (without, count)
}

/// Says whether a text has a secret.
pub(super) fn is_in(text: &[u8]) -> bool {
    may_be_in(text) && ANY.is_match(text)
}

/// Returns what was found with a mark in the place of the secret.
fn mark(found: &Captures<'_>) -> Vec<u8> {
    let whole = found.get_match();
    let secret = PATTERNS.iter().find_map(|pattern| Some((pattern.kind, found.name(pattern.kind)?)));
    let (kind, secret) = secret.expect("each pattern has a group of its kind");
    let (begin, end) = (secret.start() - whole.start(), secret.end() - whole.start());
    let whole = whole.as_bytes();
    [&whole[..begin], format!("[redacted:{kind}]").as_bytes(), &whole[end..]].concat()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

    /// Made up, and put together here so that no scanner takes this file for a leak.
    pub(crate) fn examples() -> Vec<(&'static str, String)> {
        let many = |n: usize| "aB3dE6gH9j".repeat(n);
        vec![
            ("github", format!("gh{}_{}", "p", many(4))),
            ("github", format!("github_{}_{}", "pat", many(6))),
            ("aws", format!("AK{}{}", "IA", "ABCDEFGH23456789")),
            ("slack", format!("xo{}-{}", "xb", many(3))),
            ("google", format!("AI{}{}", "za", &many(4)[..35])),
            ("stripe", format!("sk_{}_{}", "live", many(2))),
            ("anthropic", format!("sk-{}-api03-{}", "ant", many(3))),
            ("openai", format!("sk-{}-{}", "proj", many(4))),
            ("gitlab", format!("gl{}-{}", "pat", many(2))),
            ("gitlab", format!("gl{}-{}", "rt", many(2))),
            ("slack", format!("xa{}-1-{}", "pp", many(3))),
            ("google", format!("GOC{}-{}", "SPX", &many(3)[..28])),
            ("google", format!("ya{}.{}", "29", many(4))),
            ("stripe", format!("wh{}_{}", "sec", many(4))),
            ("xai", format!("xa{}-{}", "i", many(8))),
            ("groq", format!("gs{}_{}", "k", many(5))),
            ("replicate", format!("r{}_{}", 8, &many(4)[..37])),
            ("huggingface", format!("h{}_{}", "f", &many(4)[..34])),
            ("rubygems", format!("ruby{}_{}", "gems", "0123456789ab".repeat(4))),
            ("docker", format!("dck{}_pat_{}", "r", many(3))),
            ("digitalocean", format!("do{}_v1_{}", "p", "0123456789abcdef".repeat(4))),
            ("databricks", format!("da{}{}", "pi", "0123456789abcdef".repeat(2))),
            ("sendgrid", format!("S{}.{}.{}", "G", &many(3)[..22], &many(5)[..43])),
            ("shopify", format!("sh{}_{}", "pat", "0123456789abcdef".repeat(2))),
            ("vault", format!("hv{}.{}", "s", many(3))),
            ("grafana", format!("gl{}_{}_0123abcd", "sa", &many(4)[..32])),
            ("linear", format!("lin_{}_{}", "api", many(4))),
            ("notion", format!("nt{}_{}", "n", many(5))),
            ("telegram", format!("123456789:A{}{}", "A", &many(4)[..33])),
            ("age", format!("AGE-SECRET-{}-1{}", "KEY", "ABCDEFGH23".repeat(6)[..58].to_owned())),
            ("npm", format!("np{}_{}", "m", &many(4)[..36])),
            ("pypi", format!("pypi-{}{}", "AgEIcHlwaS5vcmc", many(6))),
            ("jwt", format!("ey{}.eyJ{}.{}", "Jabcdefghij", many(2), many(2))),
            (
                "private_key",
                format!("-----BEGIN RSA {} KEY-----\\n{}\\n-----END RSA {0} KEY-----", "PRIVATE", many(5)),
            ),
            (
                "private_key",
                format!(
                    "-----BEGIN RSA {} KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n{}\n{1}\n-----END RSA {0} KEY-----",
                    "PRIVATE",
                    many(6)
                ),
            ),
            (
                "private_key",
                format!(
                    "-----BEGIN PGP {} KEY BLOCK-----\n\n{}\n-----END PGP {0} KEY BLOCK-----",
                    "PRIVATE",
                    many(6)
                ),
            ),
        ]
    }

    #[test]
    fn every_kind_is_found_and_named_wherever_it_stands() {
        for (kind, secret) in examples() {
            for around in ["", " ", "\"", "\\n", "\n", "=", ": ", "\\t"] {
                let text = format!("{around}{secret}{around}");
                let (without, count) = take_out(text.as_bytes());
                let without = String::from_utf8_lossy(&without);
                assert_eq!((&*without, count), (&*format!("{around}[redacted:{kind}]{around}"), 1));
            }
        }
    }

    #[test]
    fn only_the_secret_part_goes_where_the_rest_is_of_use() {
        let (without, count) =
            take_out(b"postgres://user:p4ss%20word@db/x and Authorization: Bearer abcdefghijklmnopqrstuv==");
        assert_eq!(
            String::from_utf8_lossy(&without),
            "postgres://user:[redacted:url_password]@db/x and Authorization: Bearer [redacted:bearer]"
        );
        assert_eq!(count, 2);
    }

    proptest! {
        #[test]
        fn whatever_a_pattern_finds_has_a_word_of_it(at in 0..PATTERNS.len(), seed: u64) {
            let Pattern { before, secret, after, .. } = &PATTERNS[at];
            // Word boundaries have no text.
            let plain = |text: &str| text.replace(r"(?:\b|\\[nrtbf])", "").replace(r"\b", "").replace("(?-u:", "(?:");
            let form = format!("{}{}{}", plain(before), plain(secret), plain(after));
            let texts = prop::string::string_regex(&form).expect("the pattern has texts");
            let mut runner = TestRunner::new_with_rng(Config::default(), rng(seed));
            let text = texts.new_tree(&mut runner).expect("it has one").current();
            prop_assert!(ANY.is_match(text.as_bytes()), "{text}");
            prop_assert!(may_be_in(text.as_bytes()), "{text}");
        }
    }

    fn rng(seed: u64) -> TestRng {
        let seed = [seed; 4].map(u64::to_le_bytes).concat();
        TestRng::from_seed(RngAlgorithm::ChaCha, &seed)
    }

    #[test]
    fn what_is_secret_only_beside_its_name_is_found_beside_it() {
        let secret = "aB3dE6gH9j".repeat(4);
        let check = |text: String, expected: &str| {
            let (without, count) = take_out(text.as_bytes());
            assert_eq!((String::from_utf8_lossy(&without).into_owned(), count), (expected.to_owned(), 1));
        };
        check(format!("AWS_SECRET_ACCESS_KEY={secret}"), "AWS_SECRET_ACCESS_KEY=[redacted:aws_secret]");
        check(
            format!(r#"{{"awsSecretAccessKey": "{secret}"}}"#),
            r#"{"awsSecretAccessKey": "[redacted:aws_secret]"}"#,
        );
        check(
            format!(r#"\"aws_secret_key\":\"{secret}\""#),
            r#"\"aws_secret_key\":\"[redacted:aws_secret]\""#,
        );
        check(format!("AccountKey={}==;x", secret.repeat(2)), "AccountKey=[redacted:azure];x");
        check("authorization: Basic dXNlcjpwYXNz".to_owned(), "authorization: Basic [redacted:basic]");
        check(
            "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXX".to_owned(),
            "https://hooks.slack.com/[redacted:slack_webhook]".replace("com/[", "com/services/[").as_str(),
        );
    }

    #[test]
    fn ordinary_text_stays() {
        for text in [
            "task-runner-with-a-very-long-name-indeed",
            "https://example.com:8080/a@b",
            "AKIA",
            "sk-learn",
            "bearer of news",
            "0000000000000001.0000000000000061",
            "the eyJ prefix",
            "file:///home/me/x",
            "mailto:me@example.com",
            "ghp_short",
            "Authorization: Basic",
            "aws_secret_access_key = ${FROM_THE_VAULT}",
            "12345678:AAA",
            "---- PRIVATE KEY ----",
        ] {
            assert_eq!(take_out(text.as_bytes()), (Cow::Borrowed(text.as_bytes()), 0), "{text}");
        }
    }
}
