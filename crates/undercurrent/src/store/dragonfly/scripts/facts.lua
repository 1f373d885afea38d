-- Returns how many facts a stream has told; a part of the keys whose last state is known; or whose each of some is.
local reply = {'ok', digits(pos), nonce, digits(now)}
if ARGV[7] == 'count' then
  reply[5] = redis.call('HGET', KEYS[5], 'facts') or '0'
elseif ARGV[7] then
  for _, name in ipairs(redis.call('ZRANGE', KEYS[5], ARGV[7], ARGV[8])) do reply[#reply + 1] = name end
else
  for i = 6, #KEYS do reply[#reply + 1] = redis.call('HGET', KEYS[i], 'stream') or '' end
end
return reply
