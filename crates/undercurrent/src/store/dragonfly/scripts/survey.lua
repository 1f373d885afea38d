-- Says of each stream whether it has something to let go, as RETAIN would.
local unset, idle = ARGV[7], tonumber(ARGV[8])
local reply = {'ok', digits(pos), nonce, digits(now)}
for i = 5, #KEYS, 2 do
  local stream, meta = KEYS[i], KEYS[i + 1]
  local told = redis.call('HMGET', meta, 'seq', 'oldest', 'bytes', 'retention', 'since')
  local has = false
  if told[1] then
    local seq, oldest = tonumber(told[1]), tonumber(told[2] or 1)
    local age, most, count = string.match(told[4] or unset, '^(%S+) (%S+) (%S+)$')
    if oldest > seq then
      has = not told[4] and now - tonumber(told[5] or now) > idle
    elseif count ~= '-' and seq - oldest + 1 > tonumber(count) or most ~= '-' and tonumber(told[3] or 0) > tonumber(most) then
      has = true
    elseif age ~= '-' then
      local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
      has = not first or tonumber(string.match(first[2][2], '%d+$')) < now - tonumber(age)
    end
  end
  reply[#reply + 1] = has and 'y' or 'n'
end
return reply
