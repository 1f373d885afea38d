-- Returns one row of a table, or all of them.
local reply = {'ok', digits(pos), nonce, digits(now)}
if ARGV[7] then
  local row = redis.call('HGET', KEYS[5], ARGV[7])
  if row then
    reply[5] = ARGV[7]
    reply[6] = row
  end
else
  for _, value in ipairs(redis.call('HGETALL', KEYS[5])) do reply[#reply + 1] = value end
end
return reply
