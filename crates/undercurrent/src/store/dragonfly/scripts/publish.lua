-- Commits events, rows and invalidations at one position, or refuses all of them before anything is written.
local streams, facts, tables = KEYS[5], KEYS[6], KEYS[7]
local unpack, sub = table.unpack or unpack, string.sub
local key_at, arg_at = 7, 6
local function key() key_at = key_at + 1 return KEYS[key_at] end
local function arg() arg_at = arg_at + 1 return ARGV[arg_at] end
local function no(kind, index, what) return {'ok', digits(pos), nonce, digits(now), 'no', kind, digits(index), what} end

local strongest, word, vouch, spoke, cause = tonumber(arg()), arg(), tonumber(arg()), tonumber(arg()), arg()

-- Streams: what they are at.
local stream = {}
for s = 1, tonumber(arg()) do
  local name, asked, events, about = arg(), arg(), key(), key()
  local meta = redis.call('HMGET', about, 'seq', 'born', 'durability', 'bytes', 'half', 'since', 'older')
  local seq = tonumber(meta[1] or 0)
  -- All fields at once: a table that grows by one field after the other is made several times.
  stream[s] = {
    name = name, events = events, meta = about, a = key(), b = key(), is_new = not meta[1],
    born = meta[2] or redis.call('HGET', control, 'deleted'), durability = meta[3] or asked,
    seq = seq, next = seq, bytes = tonumber(meta[4] or 0), facts = 0,
    half = meta[5], since = tonumber(meta[6]), older = meta[7], ids = {}, given = {},
  }
end
local fact_keys = {}
for i = 1, tonumber(arg()) do fact_keys[i] = {name = arg(), key = key()} end
local table_keys = {}
for i = 1, tonumber(arg()) do table_keys[i] = {name = arg(), key = key(), rows = 0, bytes = 0} end

-- Events: who they are, and whether they are here already. `known_by` has 32 bytes for each, its id and its content.
-- `heads` has a line `<stream> <expected seq> <fact>` for each, or nothing where all go to the first stream, expect
-- nothing, tell nothing, and have different ids.
local count, known_by, heads = tonumber(arg()), arg(), arg()
local json_at = arg_at
arg_at = arg_at + count
local of, hashes, said, expected = {}, {}, {}, {}
local ids = stream[1] and stream[1].ids
local head = string.gmatch(heads, '[^\n]+')
for e = 1, count do
  local id = sub(known_by, 32 * e - 31, 32 * e - 16)
  hashes[e] = sub(known_by, 32 * e - 15, 32 * e)
  if heads == '' then
    ids[e] = id
  else
    local s, seq, fact = string.match(head(), '^(%d+) (%S+) (%S+)$')
    local one = stream[tonumber(s)]
    of[e], expected[e], one.ids[#one.ids + 1] = one, tonumber(seq), id
    if fact ~= '-' then said[e] = {of = fact_keys[tonumber(fact)], value = arg()} end
  end
end
for e = 1, heads == '' and math.min(count, 1) or count do
  local durability = (of[e] or stream[1]).durability
  if tonumber(durability) > strongest then return no('weaker', e - 1, durability) end
end
-- What is known of an id: hash and seq as they were written, or the place of an event before it in the batch.
local recalled = false
local function recall(one, half)
  for from = 1, #one.ids, 1000 do
    local to = math.min(from + 999, #one.ids)
    local values = redis.call('HMGET', half, unpack(one.ids, from, to))
    for i = from, to do
      if values[i - from + 1] then one.given[one.ids[i]], recalled = values[i - from + 1], true end
    end
  end
end
for _, one in ipairs(stream) do
  if one.half then recall(one, one.half == 'b' and one.b or one.a) end
  if one.older then recall(one, one.half == 'b' and one.a or one.b) end
end
-- Where nothing has to be looked at for each event, they simply follow each other.
local in_a_row = heads == '' and not recalled
local seqs, texts, dups, fresh, repeated = {}, {}, {}, 0, {}
if in_a_row and count > 0 then
  local one = stream[1]
  local seq = one.seq
  for e = 1, count do texts[e] = digits(seq + e) end
  one.next, fresh = seq + count, count
elseif not in_a_row then
  for e = 1, count do
    local one, id = of[e] or stream[1], sub(known_by, 32 * e - 31, 32 * e - 16)
    of[e] = one
    local given = one.given[id]
    if given then
      local before = type(given) == 'number'
      local hash = before and hashes[given] or sub(given, 1, 16)
      if hash ~= hashes[e] then return no('id', e - 1, '') end
      seqs[e], dups[e] = before and seqs[given] or tonumber(sub(given, 17)), true
      repeated[#repeated + 1] = digits(e - 1) .. ' ' .. digits(seqs[e])
    else
      if expected[e] and expected[e] ~= one.next then return no('seq', e - 1, digits(one.next)) end
      one.next = one.next + 1
      seqs[e], texts[e], one.given[id] = one.next, digits(one.next), e
      fresh = fresh + 1
    end
  end
end

-- Names and rows.
local name = {}
for n = 1, tonumber(arg()) do
  local by, mark, text = string.match(arg(), '^(%S+) (%a) (.*)$')
  if mark == 'v' then
    local row = string.sub(text, 1, 6) == 'scope:' and redis.call('HGET', sources, text)
    if row and spoken(string.match(row, '^%S+')) ~= spoken(word) then
      return no('owned', n - 1, string.match(row, '%d+$'))
    end
    local doubt = doubted_by(text)
    if doubt and spoken(doubt) == spoken(word) and not comes_after(word, doubt) then return no('late', n - 1, '') end
  end
  name[n] = {by = tonumber(by), mark = mark, text = text}
end
local plain = {}
for i = 1, tonumber(arg()) do plain[i] = {key = key()} end
local row = {}
for r = 1, tonumber(arg()) do
  local t, expected = string.match(arg(), '^(%d+) (%S+)$')
  local one = {table = table_keys[tonumber(t)], id = arg(), value = arg()}
  local standing = redis.call('HGET', one.table.key, one.id)
  local revision = standing and string.match(standing, '^%d+') or '-'
  if expected ~= '*' and expected ~= revision then return no('row', r - 1, revision) end
  one.revision, one.old = revision, standing and #standing - #revision - 1 or 0
  row[r] = one
end
for r = 1, tonumber(arg()) do
  local t, revision, id = string.match(arg(), '^(%d+) (%d+) (.*)$')
  local standing = redis.call('HGET', table_keys[tonumber(t)].key, id)
  if not standing or string.match(standing, '^%d+') ~= revision then return no('held', r - 1, '') end
end
for r, one in ipairs(row) do
  -- A row that is written twice counts twice here, which only refuses a little early.
  if one.value ~= '' then
    local t = one.table
    t.rows = t.rows + (one.revision == '-' and 1 or 0)
    t.bytes = t.bytes + #one.value - 1 - one.old + (one.revision == '-' and #one.id or 0)
    local full = redis.call('HLEN', t.key) + t.rows > 65536
    full = full or tonumber(redis.call('HGET', tables, t.name) or 0) + t.bytes > 268435456
    if full then return no('full', r - 1, '') end
  end
end

-- The events that are not repeated have the seqs behind the one that their stream was at, in their order.
local function answer(how)
  local reply = {'ok', digits(pos), nonce, digits(now), how}
  for _, one in ipairs(stream) do reply[#reply + 1] = one.born .. ' ' .. one.durability .. ' ' .. digits(one.seq) end
  for _, one in ipairs(repeated) do reply[#reply + 1] = one end
  return reply
end
if fresh == 0 and #row == 0 and (count > 0 or #name == 0) then return answer('old') end

-- From here on everything is written: the order first, the events behind it, the ids last.
take('p')
local place, runs, lines, run = {}, {}, {}, nil
local written = 0
if in_a_row and count > 0 then runs[1] = {stream = stream[1], first = stream[1].seq + 1, count = count} end
for e = 1, in_a_row and 0 or count do
  if not dups[e] then
    place[e - 1], written = written, written + 1
    if run and run.stream == of[e] then
      run.count = run.count + 1
    else
      run = {stream = of[e], first = seqs[e], count = 1}
      runs[#runs + 1] = run
    end
  end
end
for i, one in ipairs(runs) do runs[i] = digits(one.first) .. ' ' .. digits(one.count) .. ' ' .. one.stream.name end
local at = digits(pos)
for i, one in ipairs(name) do
  local doubt = ''
  if one.mark == 'k' then
    doubt = mark_of(one.text)
  elseif one.mark == 'd' then
    doubt = '!' .. word
    local row = redis.call('HGET', sources, one.text)
    if row and comes_after(word, string.match(row, '^%S+')) then redis.call('HDEL', sources, one.text) end
  elseif string.sub(one.text, 1, 6) == 'scope:' then
    vouch_for(one.text, word, believed_until(spoke, vouch))
  end
  redis.call('HSET', last, one.text, at .. doubt)
  local by = one.by and (in_a_row and one.by or place[one.by])
  lines[i] = (by and digits(by) or '-') .. ' ' .. one.text
end
record(table.concat(lines, '\n'), table.concat(runs, '\n'), cause)
for _, one in ipairs(plain) do redis.call('DEL', one.key) end

for e = 1, in_a_row and 0 or count do
  if said[e] and not dups[e] then
    local to, value, from = said[e].of, said[e].value, of[e]
    if value == '' then
      redis.call('HSET', to.key, 'at', at, 'stream', from.name)
      redis.call('HDEL', to.key, 'value')
    else
      redis.call('HSET', to.key, 'at', at, 'stream', from.name, 'value', string.sub(value, 2))
    end
    redis.call('ZADD', facts, digits(now), to.name)
    from.facts = from.facts + 1
  end
end
local stamp = inc .. '-' .. at .. ' ' .. nonce .. ' ' .. digits(now)
local function add(one, e)
  local json = ARGV[json_at + e]
  redis.call('XADD', one.events, texts[e] .. '-0', 'at', stamp, 'event', json)
  return #json
end
if in_a_row then
  local one, bytes = stream[1], 0
  for e = 1, count do bytes = bytes + add(one, e) end
  if one then one.bytes = one.bytes + bytes end
else
  for e = 1, count do
    if not dups[e] then of[e].bytes = of[e].bytes + add(of[e], e) end
  end
end
for _, one in ipairs(stream) do
  if one.next > one.seq then
    redis.call('HSET', one.meta, 'seq', digits(one.next), 'bytes', digits(one.bytes))
    if one.facts > 0 then redis.call('HINCRBY', one.meta, 'facts', digits(one.facts)) end
    if one.is_new then
      redis.call('HSET', one.meta, 'born', one.born, 'durability', one.durability)
      redis.call('SADD', streams, one.name)
    end
  end
end
for _, one in ipairs(row) do
  local t = one.table
  if one.value == '' then
    if redis.call('HDEL', t.key, one.id) == 1 then redis.call('HINCRBY', tables, t.name, digits(-one.old - #one.id)) end
  else
    local grown = #one.value - 1 - one.old + (one.revision == '-' and #one.id or 0)
    redis.call('HSET', t.key, one.id, at .. ' ' .. string.sub(one.value, 2))
    redis.call('HINCRBY', tables, t.name, digits(grown))
  end
end
for _, one in ipairs(stream) do
  if one.next > one.seq then
    -- Two halves, so that ten minutes or 2^20 ids are always known, and hardly more than twice that.
    local half = one.half == 'b' and one.b or one.a
    local full = not one.half or now - one.since >= 600000
    if math.floor(one.seq / 4096) < math.floor(one.next / 4096) then
      full = full or redis.call('HLEN', half) >= 1048576
    end
    if full then
      if one.half then redis.call('HSET', one.meta, 'older', '1') end
      one.half = one.half == 'a' and 'b' or 'a'
      half = one.half == 'b' and one.b or one.a
      redis.call('UNLINK', half)
      redis.call('HSET', one.meta, 'half', one.half, 'since', digits(now))
    end
    local flat = {}
    local size = 0
    for e = 1, count do
      if in_a_row then
        flat[size + 1], flat[size + 2], size = ids[e], hashes[e] .. texts[e], size + 2
      elseif of[e] == one and not dups[e] then
        local id = sub(known_by, 32 * e - 31, 32 * e - 16)
        flat[size + 1], flat[size + 2], size = id, hashes[e] .. texts[e], size + 2
      end
      if size >= 2000 or (e == count and size > 0) then
        redis.call('HSET', half, unpack(flat, 1, size))
        size = 0
      end
    end
    if full then redis.call('PEXPIRE', half, 1260000) end
  end
end
return answer('new')
