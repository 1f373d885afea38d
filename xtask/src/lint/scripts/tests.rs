use super::*;

/// Checks a script that stands alone: the lines with a problem, and a part of each.
fn check_text(text: &str, expected: &[(usize, &str)]) {
    let found = problems(text);
    let fits =
        |(found, expected): (&Problem, &(usize, &str))| found.0 == expected.0 && found.1.contains(expected.1);
    let all = found.len() == expected.len() && found.iter().zip(expected).all(fits);
    assert!(all, "{text}\nfound {found:#?}\nexpected {expected:#?}");
}

#[test]
fn a_script_that_keeps_the_rules_is_left_alone() {
    check_text(
        "local control, log = KEYS[1], KEYS[2]
         local unpack = table.unpack or unpack
         local at = 2
         local function key() at = at + 1 return KEYS[at] end
         local function digits(n) return string.format('%d', n) end
         local clock = redis.call('TIME')
         local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
         local pos = (tonumber(redis.call('HGET', control, 'pos')) or 0) + 1
         redis.call('HSET', control, 'pos', digits(pos), 'now', digits(now))
         redis.call('XADD', log, digits(pos) .. '-0', 'nonce', ARGV[1])
         local streams = {}
         for s = 1, 3 do streams[s] = {a = key(), b = key(), half = 'a'} end
         for _, one in ipairs(streams) do
           for _, half in ipairs({one.a, one.b}) do redis.call('UNLINK', half) end
           local half = one.half == 'b' and one.b or one.a
           redis.call('HSET', half, unpack({'x', 'y'}))
         end
         for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, 10) end
         local function touch(key) redis.call('TOUCH', key) end
         touch(KEYS[1]) touch(log)
         if #KEYS > 5 then return redis.error_reply('OOM too many') end
         return {'ok', digits(pos), redis.call('HGET', control, 'pos')}",
        &[],
    );
}

#[test]
fn what_is_no_lua_of_all_servers_is_found() {
    check_text("#!lua name=x\nreturn 1", &[(1, "no shebang")]);
    check_text("return 1\n// 2", &[(2, "no Lua 5.1")]);
    check_text("local x = tonumber(ARGV[1])\nreturn x // 2", &[(2, "no Lua 5.1")]);
    check_text("local x <const> = 1", &[(1, "no Lua 5.1")]);
    check_text(
        "redis.setresp(3)\nreturn redis.REDIS_VERSION",
        &[(1, "`redis.setresp`"), (2, "`redis.REDIS_VERSION`")],
    );
    check_text("return unpack(KEYS)", &[(1, "`unpack`")]);
    check_text(
        "total = 1\nreturn loadstring('x')",
        &[(1, "`total` is defined nowhere"), (2, "`loadstring`")],
    );
}

#[test]
fn a_command_that_no_script_runs_is_found() {
    let cases = [
        ("redis.call('SELECT', 1)", "`SELECT` inside a script: it leaks"),
        ("redis.call('FLUSHDB')", "`FLUSHDB`"),
        ("redis.call('xread', 'STREAMS', KEYS[1], '0')", "`XREAD`"),
        ("redis.call('BLPOP', KEYS[1], 0)", "`BLPOP` inside a script: it blocks"),
        ("redis.pcall('FCALL', 'f', 0)", "`FCALL` inside a script: not every server has functions"),
        ("redis.call('EVAL_RO', 'return 1', 0)", "`EVAL_RO`"),
        ("redis.call('XREADGROUP', KEYS[1], 'GROUP', 'g', 'c', 'BLOCK', 1)", "`BLOCK` inside a script"),
        ("redis.call(ARGV[1], KEYS[1])", "stands in the script as a text"),
    ];
    for (text, expected) in cases {
        let found = problems(text);
        assert!(found.iter().any(|(line, text)| *line == 1 && text.contains(expected)), "{text}: {found:?}");
    }
}

#[test]
fn what_would_hide_a_command_from_this_lint_is_found() {
    check_text("local call = redis.call\ncall('GET', 'x')", &[(1, "`redis.call` is called by its own name")]);
    check_text("local r = redis\nr.call('GET', 'x')", &[(1, "`redis` keeps its name")]);
    check_text("redis['call']('GET', 'x')", &[(1, "`redis` keeps its name")]);
    check_text("KEYS[1] = 'x'\nredis.call('GET', KEYS[1])", &[(1, "`KEYS` stays as it was given")]);
    check_text("local KEYS = {'x'}\nredis.call('GET', KEYS[1])", &[(2, "is no key")]);
}

#[test]
fn a_key_that_is_not_out_of_the_keys_is_found() {
    let cases = [
        "redis.call('GET', ARGV[1])",
        "redis.call('GET', 'a')",
        "redis.call('GET', KEYS[1] .. ':meta')",
        "local k = KEYS[1] k = k .. 'x' redis.call('GET', k)",
        "local k = ARGV[1] or KEYS[1] redis.call('GET', k)",
        "local function get(k) return redis.call('GET', k) end get(KEYS[1]) get(ARGV[1])",
        "local function name() return ARGV[1] end redis.call('GET', name())",
        "local one = {key = KEYS[1]} one.key = 'x' redis.call('GET', one.key)",
        "for _, k in ipairs({KEYS[1], ARGV[1]}) do redis.call('GET', k) end",
        "for _, k in ipairs(ARGV) do redis.call('GET', k) end",
        "redis.call('DEL', KEYS[1], ARGV[1])",
        "redis.call('MSET', KEYS[1], 'v', ARGV[1], 'v')",
        "redis.call('XINFO', 'STREAM', ARGV[1])",
        "redis.call('RENAME', KEYS[1], ARGV[1])",
        "local k = KEYS[1] do local k = ARGV[1] redis.call('GET', k) end",
    ];
    for text in cases {
        let found = problems(text);
        assert!(found.len() == 1 && found[0].1.contains("is no key out of `KEYS`"), "{text}: {found:?}");
    }
    // Two locals of one name are two.
    check_text("local k = KEYS[1] do local k = ARGV[1] end\nredis.call('GET', k)", &[]);
}

#[test]
fn a_number_that_servers_write_differently_is_found() {
    check_text("local half = tonumber(ARGV[1]) / 2\nreturn half", &[(1, "`/` makes a fraction")]);
    check_text("return 2 ^ tonumber(ARGV[1])", &[(1, "`^` makes a fraction")]);
    check_text("return math.floor(2 * (tonumber(ARGV[1]) / 2))", &[]);
    check_text("local n = tonumber(ARGV[1]) + 1\nreturn 'at ' .. n", &[(2, "a number in `..`")]);
    check_text("local n = 0\nn = math.max(n, 5)\nreturn n .. ''", &[(3, "a number in `..`")]);
    check_text("local one = {at = 1 + 1}\nreturn one.at .. ''", &[(2, "a number in `..`")]);
    check_text("return tostring(tonumber(ARGV[1]))", &[(1, "a number in `tostring`")]);
    check_text("redis.call('SET', KEYS[1], ARGV[1] + 1)", &[(1, "a number that was computed")]);
    check_text("local n = 1 + 1\nreturn (n and 'x' or 'y') .. ''", &[]);
    check_text("return 'a' .. 1 .. #KEYS .. string.format('%d', 1 + 1)", &[]);
}

#[test]
fn the_clock_is_read_through_tonumber() {
    check_text("local t = redis.call('TIME')\nreturn t[1]", &[(2, "`TIME`")]);
    check_text("local t = redis.call('TIME')\nlocal n = t[1] + 0", &[(2, "`TIME`")]);
    check_text("local n = redis.call('TIME')[1] * 1000", &[(1, "`TIME`")]);
    check_text("return redis.call('TIME')", &[(1, "`TIME`")]);
    check_text("local t = redis.call('TIME')\nreturn {'ok', t}", &[(2, "`TIME`")]);
    check_text("local n = tonumber(redis.call('TIME')[1])\nreturn {n}", &[]);
}

#[test]
fn answers_that_servers_give_differently_are_found() {
    check_text("return {'ok', nil, 'x'}", &[(1, "`nil` in a list")]);
    check_text(
        "local answer = redis.pcall('GET', KEYS[1])\nif string.find(answer.err, 'WRONGTYPE') then return 1 end",
        &[(2, "`WRONGTYPE` is no part of an error")],
    );
    check_text("return redis.error_reply('NOSCRIPT is what this says')", &[]);
}

#[test]
fn scripts_are_checked_with_what_they_begin_with() {
    let folder = tempfile::tempdir().unwrap();
    let scripts = folder.path().join("crates/a/src/scripts");
    std::fs::create_dir_all(&scripts).unwrap();
    let write = |name: &str, text: &str| std::fs::write(scripts.join(name), text).unwrap();
    let enter = "local control = KEYS[1]\nlocal function set(key)\n  redis.call('SET', key, 1)\nend\n";
    write("enter.lua", enter);
    write("entry.lua", "local entry = KEYS[2]\n");
    write("alone.lua", "return redis.call('GET', ARGV[1])");
    write("right.lua", "return redis.call('GET', control)");
    write("read.lua", "set(entry)\nreturn redis.call('GET', entry)");
    write("wrong.lua", "-- does not\nset(control .. 'x')\nreturn redis.call('GET', entry)");
    write("lost.lua", "return 1");
    let list = r#"
        macro_rules! scripts { ($($x:tt)*) => { include_str!("scripts/enter.lua") }; }
        static ALONE: &str = include_str!("scripts/alone.lua");
        scripts! { RIGHT = "right" READ = "read", after "entry" WRONG = "wrong" }
        fn run() {
            send("EVALSHA_RO");
        }"#;
    std::fs::write(scripts.with_extension("rs"), list).unwrap();
    let found = check(folder.path()).unwrap();
    let line = |it: &Violation| {
        let what = it.text.split('`').nth(1).unwrap_or(&it.text);
        format!("{}:{} {what}", it.file.file_name().unwrap().display(), it.line)
    };
    let lines: Vec<_> = found.iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "alone.lua:1 GET",
            "enter.lua:3 SET",
            "lost.lua:1 no script is put together from this file",
            "wrong.lua:3 entry",
            "wrong.lua:3 GET",
            "scripts.rs:6 EVALSHA_RO"
        ]
    );
}

#[test]
fn a_function_that_nobody_calls_is_given_nothing_wrong() {
    check_text("local function get(key) return redis.call('GET', key) end", &[]);
    check_text("local t = {}\ntable.sort(t, function(a) redis.call('GET', a) end)", &[(2, "is no key")]);
}
