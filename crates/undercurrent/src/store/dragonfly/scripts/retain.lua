-- Lets a stream go what it need not keep, a few events at a time; then the stream itself, if nobody has used it for long.
local streams, stream, meta, a, b = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local name, unset, idle = ARGV[7], ARGV[8], tonumber(ARGV[9])
local function answer(what) return {'ok', digits(pos), nonce, digits(now), what} end
local told = redis.call('HMGET', meta, 'seq', 'oldest', 'bytes', 'retention', 'since', 'born')
if not told[1] then return answer('none') end
local seq, oldest, bytes = tonumber(told[1]), tonumber(told[2] or 1), tonumber(told[3] or 0)
local age, most, count = string.match(told[4] or unset, '^(%S+) (%S+) (%S+)$')
local first = count == '-' and 1 or seq - tonumber(count) + 1
local since = age == '-' and 0 or now - tonumber(age)
most = most == '-' and math.huge or tonumber(most)
local from, gone, looked = oldest, 0, 0
local more = true
while more and from <= seq and looked < 1048576 do
  local entries = redis.call('XRANGE', stream, digits(from) .. '-0', '+', 'COUNT', 16)
  if #entries == 0 then
    from = seq + 1
    break
  end
  for _, entry in ipairs(entries) do
    local at, size = tonumber(string.match(entry[1], '^%d+')), #entry[2][4]
    local time = tonumber(string.match(entry[2][2], '%d+$'))
    looked = looked + size
    if not (at < first or time < since or bytes - gone > most) then
      more, from = false, at
      break
    end
    gone, from = gone + size, at + 1
  end
end
if from > oldest then
  redis.call('XTRIM', stream, 'MINID', '=', digits(from) .. '-0')
  redis.call('HSET', meta, 'oldest', digits(from), 'bytes', digits(math.max(bytes - gone, 0)))
  return answer(more and 'more' or 'done')
end
if from > seq and not told[4] and now - tonumber(told[5] or now) > idle then
  redis.call('UNLINK', stream, meta, a, b)
  redis.call('SREM', streams, name)
  local deleted = math.max(tonumber(redis.call('HGET', control, 'deleted')), tonumber(told[6]))
  redis.call('HSET', control, 'deleted', digits(deleted + 1))
end
return answer('done')
