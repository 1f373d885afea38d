-- Returns the position now, and the names that were moved since the caller last asked.
local applied = tonumber(ARGV[4])
local reply = {'ok', digits(pos), nonce, digits(now), 'list'}
if pos > applied then
  local records = {}
  local jump = not known or pos - applied > 512 or applied < low
  if not jump then
    records = redis.call('XRANGE', log, digits(applied + 1) .. '-0', '+', 'COUNT', 513)
    jump = #records ~= pos - applied
  end
  if jump then
    reply[5] = 'jump'
    return reply
  end
  for _, record in ipairs(records) do
    local names = field(record, 'names')
    if names ~= '' then
      reply[#reply + 1] = string.match(record[1], '^%d+')
      reply[#reply + 1] = names
    end
  end
end
return reply
