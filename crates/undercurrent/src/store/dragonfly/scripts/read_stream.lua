-- Reads what a stream is and its events behind a place, about 1 MiB of them.
local stream, meta = KEYS[5], KEYS[6]
local told = redis.call('HMGET', meta, 'seq', 'born', 'oldest')
local seq, born, oldest = tonumber(told[1] or 0), told[2] or redis.call('HGET', control, 'deleted'), tonumber(told[3] or 1)
local reply = {'ok', digits(pos), nonce, digits(now), born, digits(seq), digits(oldest)}
local given_born, from, left = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
if given_born == '' then
  from = oldest - 1
elseif given_born == 'any' then
  from = math.max(from, oldest - 1)
elseif given_born ~= born or from > seq or from < oldest - 1 then
  return reply
end
local size, step = 0, 16
while left > 0 and from < seq and size < 1048576 do
  local entries = redis.call('XRANGE', stream, digits(from + 1) .. '-0', '+', 'COUNT', math.min(left, step))
  if #entries == 0 then break end
  for _, entry in ipairs(entries) do
    reply[#reply + 1] = string.match(entry[1], '^%d+')
    reply[#reply + 1] = entry[2][2]
    reply[#reply + 1] = entry[2][4]
    size = size + #entry[2][4]
    from, left = tonumber(reply[#reply - 2]), left - 1
    if size >= 1048576 then break end
  end
  step = math.max(1, math.min(512, math.floor((1048576 - size) * step / (size + 1))))
end
return reply
