-- Deletes a stream with all it said, and moves the keys whose last state it said.
local streams, facts, stream, meta, a, b = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local name = ARGV[7]
local told = redis.call('HMGET', meta, 'seq', 'facts', 'born')
local function answer(what) return {'ok', digits(pos), nonce, digits(now), what} end
if not told[1] then return answer('none') end
if (told[2] or '0') ~= ARGV[8] then return answer('again') end
local said = {}
for i = 9, #ARGV do
  if redis.call('HGET', KEYS[i + 2], 'stream') == name then said[#said + 1] = i end
end
take('x')
local names = {}
for i, at in ipairs(said) do names[i] = ARGV[at] end
record(move(names), '', 'stream `' .. name .. '` was deleted')
for _, at in ipairs(said) do
  redis.call('DEL', KEYS[at + 2])
  redis.call('ZREM', facts, ARGV[at])
end
redis.call('UNLINK', stream, meta, a, b)
redis.call('SREM', streams, name)
-- Above what any stream was made with, so that a successor has another epoch.
local deleted = math.max(tonumber(redis.call('HGET', control, 'deleted')), tonumber(told[3]))
redis.call('HSET', control, 'deleted', digits(deleted + 1))
return answer('deleted')
