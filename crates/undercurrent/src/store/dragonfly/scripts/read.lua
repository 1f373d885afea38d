-- Returns what is kept under a key and whether it is valid now; asks for the lease where it is not.
local loader, holder, hold, lasts = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
if entry and loader ~= '' and entry.loader ~= loader then entry, is_valid = nil, false end
if is_valid and (entry.as_of < pos or now - tonumber(entry.looked) > 60000) then
  -- Valid at this position, so known to be good for it.
  redis.call('HSET', context, 'as_of', digits(pos), 'looked', digits(now))
  redis.call('PEXPIRE', context, lasts)
end
local left = '0'
if not is_valid and holder ~= '' and not redis.call('SET', lease, holder, 'NX', 'PX', hold) then
  local by = redis.call('GET', lease)
  if by ~= holder then left = digits(math.max(redis.call('PTTL', lease), 1)) end
end
if not entry then return {'ok', digits(pos), nonce, digits(now), left, 'none'} end
local verdict = 'valid'
if not is_valid then
  local moved = entry.inc ~= inc or late(entry.own_deadline, entry.looked) or judge(entry.own, entry.as_of)
  verdict = moved and 'moved' or 'stale'
end
return {'ok', digits(pos), nonce, digits(now), left, verdict, entry.loader, entry.names, entry.own, entry.deadline,
  entry.own_deadline, digits(entry.h), entry.version, entry.inputs, entry.state, entry.value, entry.rest}
