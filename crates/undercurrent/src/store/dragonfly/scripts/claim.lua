-- Begins a connection: finds the incarnation, or makes a new one where positions may have been lost.
local control, last, log, sources = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local fresh, own, nonce, format = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local seen_inc, seen, seen_nonce = ARGV[5], tonumber(ARGV[6]), ARGV[7]
local applied, applied_nonce = tonumber(ARGV[8]), ARGV[9]
local left, records, names = ARGV[10], ARGV[11], ARGV[12]
local function digits(n) return string.format('%d', n) end

local found = redis.call('HMGET', control, 'inc', 'pos', 'nonce', 'own', 'format')
local inc, pos = found[1], tonumber(found[2]) or 0
if redis.call('EXISTS', control) == 1 and found[5] ~= format then return {'format', found[5] or ''} end

local lost = not inc or redis.call('HGET', last, 'inc') ~= inc or found[4] ~= own
-- Nobody joins an incarnation again that they have left.
if inc and string.find(left, inc, 1, true) then lost = true end
-- What the caller knows of this incarnation has to stand, each position with its nonce; one that is trimmed says nothing.
local function stands(at, known_nonce)
  if pos < at then return false end
  if pos == at then return found[3] == known_nonce end
  local record = redis.call('XRANGE', log, digits(at) .. '-0', digits(at) .. '-0')[1]
  for i = 1, record and #record[2] or 0, 2 do
    if record[2][i] == 'nonce' then return record[2][i + 1] == known_nonce end
  end
  return true
end
if not lost and inc == seen_inc then lost = not (stands(seen, seen_nonce) and stands(applied, applied_nonce)) end
seen = math.max(seen, applied)

-- No position that anybody was given is given again, under any incarnation.
if lost or pos < seen then
  pos = math.max(pos, seen) + 1
  if lost then
    redis.call('UNLINK', last, log, sources)
    inc = fresh
    redis.call('HDEL', control, 'due')
    redis.call('HSET', last, 'inc', inc)
    redis.call('HSETNX', control, 'deleted', '0')
    redis.call('HSET', control, 'low', digits(pos))
  end
  redis.call('HSET', control, 'inc', inc, 'pos', digits(pos), 'nonce', nonce, 'own', own, 'format', format)
  local clock = redis.call('TIME')
  local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
  redis.call('XADD', log, digits(pos) .. '-0', 'inc', inc, 'nonce', nonce, 'before', found[3] or '', 'time', digits(now), 'cause', 'a new beginning',
    'names', '', 'events', '')
  found[3] = nonce
end
redis.call('HSET', control, 'records', records, 'names', names)
return {'ok', inc, digits(pos), found[3]}
