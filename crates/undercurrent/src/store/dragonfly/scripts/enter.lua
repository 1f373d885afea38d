-- What every script but CLAIM begins with. KEYS 1 to 4 and ARGV 1 to 7 are the same for all of them.
local control, last, log, sources = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local found = redis.call('HMGET', control, 'inc', 'pos', 'nonce', 'low', 'due', 'deleted', 'records', 'names')
local inc, pos, nonce, low, due = found[1], tonumber(found[2]), found[3], tonumber(found[4]), tonumber(found[5])
-- Another incarnation, or a `last` that was evicted alone: CLAIM says what that means.
if not inc or inc ~= ARGV[1] or redis.call('HGET', last, 'inc') ~= inc then return {'claim'} end
-- A server that was demoted and promoted since this connection was claimed.
if ARGV[2] ~= '' and string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') ~= ARGV[2] then
  return {'claim'}
end
-- Writes nothing, and is refused on a replica and on a full server.
redis.call('HSETNX', control, 'inc', inc)

local function digits(n) return string.format('%.0f', n) end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local function field(record, name)
  local fields = record[2]
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
  return nil
end

-- Two positions that the caller knows have to stand here, each with its nonce: the one up to which it has applied the
-- order, and the highest that any answer gave it. One that is trimmed is a jump.
local known = true
for i = 4, ARGV[6] == ARGV[4] and 4 or 6, 2 do
  local at = tonumber(ARGV[i])
  if pos < at then return {'claim'} end
  if pos == at then
    if nonce ~= ARGV[i + 1] then return {'claim'} end
  else
    local records = redis.call('XRANGE', log, ARGV[i] .. '-0', ARGV[i] .. '-0')
    if #records == 0 then
      known = false
    elseif field(records[1], 'nonce') ~= ARGV[i + 1] then
      return {'claim'}
    end
  end
end

-- Lets the oldest records go, and with each the names whose last invalidation it was.
local function trim()
  local many = redis.call('XLEN', log) - tonumber(found[7])
  if redis.call('HLEN', last) > tonumber(found[8]) then many = 16 end
  if many <= 0 then return end
  local through = nil
  for _, record in ipairs(redis.call('XRANGE', log, '-', '+', 'COUNT', math.min(many, 16))) do
    local at = string.match(record[1], '^%d+')
    if tonumber(at) >= pos then break end
    for line in string.gmatch(field(record, 'names'), '[^\n]+') do
      local name = string.match(line, '^%S+ (.*)$')
      if redis.call('HGET', last, name) == at then
        low = math.max(low, tonumber(at))
        redis.call('HDEL', last, name)
      end
    end
    through = at
  end
  if through then
    redis.call('HSET', control, 'low', digits(low))
    redis.call('XTRIM', log, 'MINID', '=', digits(tonumber(through) + 1) .. '-0')
  end
end

-- Takes the next position. Before anything that belongs to it is written.
local function take(mark)
  pos = pos + 1
  nonce = ARGV[3] .. mark
  redis.call('HSET', control, 'pos', digits(pos), 'nonce', nonce)
end

-- Writes the record of the position that was taken. `names` has a line `<place of the event, or -> <name>` for each
-- name, `events` a line `<first seq> <how many> <stream>` for each run of events.
local function record(names, events, cause)
  redis.call('XADD', log, digits(pos) .. '-0', 'inc', inc, 'nonce', nonce, 'time', digits(now), 'cause', cause,
    'names', names, 'events', events)
  trim()
end

-- Sets names to the position that was taken; the mark of doubt stays. Returns their lines.
local function move(names)
  local lines = {}
  for i, name in ipairs(names) do
    local doubt = string.match(redis.call('HGET', last, name) or '', '!') or ''
    redis.call('HSET', last, name, digits(pos) .. doubt)
    lines[i] = '- ' .. name
  end
  return table.concat(lines, '\n')
end

-- Puts in doubt what nobody has vouched for in time.
if due and now >= due then
  local rows = redis.call('HGETALL', sources)
  local lapsed, soonest = {}, nil
  for i = 1, #rows, 2 do
    local deadline = tonumber(string.match(rows[i + 1], '%d+$'))
    if deadline <= now then
      lapsed[#lapsed + 1] = rows[i]
    elseif not soonest or deadline < soonest then
      soonest = deadline
    end
  end
  if #lapsed > 0 then
    take('d')
    local lines = {}
    for i, name in ipairs(lapsed) do
      redis.call('HSET', last, name, digits(pos) .. '!')
      redis.call('HDEL', sources, name)
      lines[i] = '- ' .. name
    end
    record(table.concat(lines, '\n'), '', 'nobody vouched for it in time')
  end
  if soonest then
    redis.call('HSET', control, 'due', digits(soonest))
  else
    redis.call('HDEL', control, 'due')
  end
end

-- Evaluates the predicate for one name: `moved`, `doubt` or nil. A scope is in doubt unless somebody vouches for it.
local function standing(name, as_of)
  local value = redis.call('HGET', last, name)
  local at = value and tonumber(string.match(value, '^%d+')) or low
  if at > as_of then return 'moved' end
  if value and string.find(value, '!', 1, true) then return 'doubt' end
  if string.sub(name, 1, 10) == 'unwatched:' then return 'doubt' end
  if string.sub(name, 1, 6) == 'scope:' and redis.call('HEXISTS', sources, name) == 0 then return 'doubt' end
  return nil
end
