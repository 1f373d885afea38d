-- What scripts share that take a position.

-- Lets the oldest records go, and with each the names whose last invalidation it was.
local function trim()
  if pos % 16 ~= 0 then return end
  local most = redis.call('HMGET', control, 'records', 'names')
  local many = redis.call('XLEN', log) - tonumber(most[1])
  if redis.call('HLEN', last) > tonumber(most[2]) then many = 64 end
  if many <= 0 then return end
  local through = nil
  for _, record in ipairs(redis.call('XRANGE', log, '-', '+', 'COUNT', math.min(many, 64))) do
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
local before
local function take(mark)
  pos, before = pos + 1, nonce
  nonce = ARGV[2] .. mark
  redis.call('HSET', control, 'pos', digits(pos), 'nonce', nonce)
end

-- Writes the record of the position that was taken. `names` has a line `<place of the event, or -> <name>` for each
-- name, `events` a line `<first seq> <how many> <stream>` for each run of events.
local function record(names, events, cause)
  redis.call('XADD', log, digits(pos) .. '-0', 'inc', inc, 'nonce', nonce, 'before', before, 'time', digits(now), 'cause', cause,
    'names', names, 'events', events)
  trim()
end

-- The mark of doubt of a name, `!` with what stands behind it; empty where there is none.
local function mark_of(name) return string.match(redis.call('HGET', last, name) or '', '!.*$') or '' end

-- Sets names to the position that was taken; the mark of doubt stays. Returns their lines.
local function move(names)
  local lines = {}
  for i, name in ipairs(names) do
    redis.call('HSET', last, name, digits(pos) .. mark_of(name))
    lines[i] = '- ' .. name
  end
  return table.concat(lines, '\n')
end

-- Puts in doubt what nobody has vouched for in time: each by the word that was in force.
if overdue then
  local rows = redis.call('HGETALL', sources)
  local lapsed, soonest = {}, nil
  for i = 1, #rows, 2 do
    local word, deadline = string.match(rows[i + 1], '^(%S+) (%d+)$')
    deadline = tonumber(deadline)
    if deadline <= now then
      lapsed[#lapsed + 1] = {name = rows[i], word = word}
    elseif not soonest or deadline < soonest then
      soonest = deadline
    end
  end
  if #lapsed > 0 then
    take('d')
    local lines = {}
    for i, one in ipairs(lapsed) do
      redis.call('HSET', last, one.name, digits(pos) .. '!' .. one.word)
      redis.call('HDEL', sources, one.name)
      lines[i] = '- ' .. one.name
    end
    record(table.concat(lines, '\n'), '', 'nobody vouched for it in time')
  end
  due = soonest
  if soonest then
    redis.call('HSET', control, 'due', digits(soonest))
  else
    redis.call('HDEL', control, 'due')
  end
end
