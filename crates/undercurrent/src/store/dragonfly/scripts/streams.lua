-- Returns the names of all streams.
local reply = {'ok', digits(pos), nonce, digits(now)}
for _, name in ipairs(redis.call('SMEMBERS', KEYS[5])) do reply[#reply + 1] = name end
return reply
