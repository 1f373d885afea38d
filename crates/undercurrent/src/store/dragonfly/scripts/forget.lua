-- Forgets the oldest last states where there are too many. A key that loses one is moved in the same step.
local facts, most = KEYS[5], tonumber(ARGV[7])
local excess = redis.call('ZCARD', facts) - most
local reply = {'ok', digits(pos), nonce, digits(now)}
if #ARGV == 7 then
  if excess > 0 then
    for i, name in ipairs(redis.call('ZRANGE', facts, 0, digits(math.min(excess, 100) - 1))) do reply[i + 4] = name end
  end
  return reply
end
local names, at = {}, {}
for i = 8, #ARGV do
  if #at < excess and (redis.call('ZRANK', facts, ARGV[i]) or most) < excess then
    at[#at + 1] = i
    if redis.call('HEXISTS', KEYS[i - 2], 'value') == 1 then names[#names + 1] = ARGV[i] end
  end
end
if #names > 0 then
  take('f')
  record(move(names), '', 'its last state is not kept any more')
end
for _, i in ipairs(at) do
  redis.call('DEL', KEYS[i - 2])
  redis.call('ZREM', facts, ARGV[i])
end
reply[2], reply[3] = digits(pos), nonce
for i, name in ipairs(names) do reply[i + 4] = name end
return reply
