-- Says of each stream what it is.
local reply = {'ok', digits(pos), nonce, digits(now)}
for i = 5, #KEYS do
  local told = redis.call('HMGET', KEYS[i], 'seq', 'born', 'oldest', 'durability', 'retention')
  reply[#reply + 1] = told[1] and 'y' or 'n'
  reply[#reply + 1] = told[1] or '0'
  reply[#reply + 1] = told[2] or redis.call('HGET', control, 'deleted')
  reply[#reply + 1] = told[3] or '1'
  reply[#reply + 1] = told[4] or '0'
  reply[#reply + 1] = told[5] or ''
end
return reply
