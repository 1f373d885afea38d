-- Reads records of the log behind a position that moved names or carry events, or those before one that moved given names.
local reply = {'ok', digits(pos), nonce, digits(now)}
local from, left = ARGV[7], tonumber(ARGV[8])
local first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
reply[5] = first and string.match(first[1], '^%d+') or digits(pos + 1)
reply[6] = digits(pos)
if ARGV[9] then
  -- Backwards, and only what has one of the names.
  local wanted = {}
  for i = 9, #ARGV do wanted[ARGV[i]] = true end
  local looked, upper = 0, from
  while left > 0 and looked < 2048 do
    local records = redis.call('XREVRANGE', log, upper, '-', 'COUNT', 128)
    if #records == 0 then
      reply[6] = '0'
      return reply
    end
    for _, one in ipairs(records) do
      looked = looked + 1
      local at = string.match(one[1], '^%d+')
      upper = digits(tonumber(at) - 1)
      local lines = {}
      for line in string.gmatch(field(one, 'names'), '[^\n]+') do table.insert(lines, 1, line) end
      for _, line in ipairs(lines) do
        if wanted[string.match(line, '^%S+ (.*)$')] then
          for _, what in ipairs({at, field(one, 'nonce'), field(one, 'time'), field(one, 'cause'), line, field(one, 'events')}) do
            reply[#reply + 1] = what
          end
          left = left - 1
        end
      end
      if left <= 0 then break end
    end
    reply[6] = upper
  end
  return reply
end
local size = 0
while left > 0 and size < 1048576 do
  local records = redis.call('XRANGE', log, digits(tonumber(from) + 1) .. '-0', '+', 'COUNT', math.min(left, 64))
  if #records == 0 then
    reply[6] = digits(pos)
    return reply
  end
  for _, one in ipairs(records) do
    from = string.match(one[1], '^%d+')
    local names, events = field(one, 'names'), field(one, 'events')
    if names ~= '' or events ~= '' then
      for _, what in ipairs({from, field(one, 'nonce'), field(one, 'time'), field(one, 'cause'), names, events}) do
        reply[#reply + 1] = what
        size = size + #what
      end
      left = left - 1
    end
  end
end
reply[6] = from
return reply
