-- What every script but CLAIM begins with. KEYS 1 to 4 and ARGV 1 to 6 are the same for all of them.
local control, last, log, sources = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local found = redis.call('HMGET', control, 'inc', 'pos', 'nonce', 'low', 'due')
local inc, pos, nonce, low, due = found[1], tonumber(found[2]), found[3], tonumber(found[4]), tonumber(found[5])
-- Another incarnation: CLAIM says what that means.
if inc ~= ARGV[1] then return {'claim'} end
-- Writes nothing, and is refused on a replica and on a full server.
redis.call('HSETNX', control, 'inc', inc)

local function digits(n) return string.format('%d', n) end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
-- Whether there may be scopes that nobody has vouched for in time: they are put in doubt before anything else is done.
local overdue = due and now >= due

local function field(record, name)
  local fields = record[2]
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
  return nil
end

-- Two positions that the caller knows have to stand here, each with its nonce: the one up to which it has applied the
-- order, and the highest that any answer gave it. One that is trimmed says nothing, and the next barrier is a jump.
for i = 3, ARGV[5] == ARGV[3] and 3 or 5, 2 do
  local at = tonumber(ARGV[i])
  if pos < at then return {'claim'} end
  if pos == at then
    if nonce ~= ARGV[i + 1] then return {'claim'} end
  else
    local records = redis.call('XRANGE', log, ARGV[i] .. '-0', ARGV[i] .. '-0')
    if #records > 0 and field(records[1], 'nonce') ~= ARGV[i + 1] then return {'claim'} end
  end
end
