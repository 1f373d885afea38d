-- Adds rewritten events to what will take a stream's place, and puts it there when it has all of them.
local stream, meta, next = KEYS[5], KEYS[6], KEYS[7]
local function answer(what) return {'ok', digits(pos), nonce, digits(now), what} end
local told = redis.call('HMGET', meta, 'seq', 'oldest', 'born')
if not told[1] or told[3] ~= ARGV[7] then
  redis.call('UNLINK', next)
  return answer('gone')
end
local through, before = ARGV[8], tonumber(ARGV[9])
-- It has a time to live, so a server without memory may have evicted it.
if redis.call('XLEN', next) ~= before then
  redis.call('UNLINK', next)
  return answer('gone')
end
for i = 10, #ARGV, 3 do
  redis.call('XADD', next, ARGV[i] .. '-0', 'at', ARGV[i + 1], 'event', ARGV[i + 2])
end
-- What breaks off goes by itself.
redis.call('PEXPIRE', next, 600000)
if through ~= told[1] then return answer('more') end
redis.call('XTRIM', next, 'MINID', '=', (told[2] or '1') .. '-0')
redis.call('RENAME', next, stream)
redis.call('PERSIST', stream)
return answer('done')
