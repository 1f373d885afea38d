-- Says that the caller still watches these scopes; those that nobody vouched for any more begin anew.
local word, deadline = ARGV[7], believed_until(tonumber(ARGV[9]), tonumber(ARGV[8]))
local mine, lapsed, reply = {}, {}, {}
for i = 10, #ARGV do
  local name = ARGV[i]
  local row, doubt = redis.call('HGET', sources, name), doubted_by(name)
  -- Where it was long on the way, the caller may have put the scope in doubt since, or have gone.
  local holds = deadline > now
  if row then
    holds = holds and comes_after(word, string.match(row, '^%S+'))
  elseif doubt then
    holds = holds and comes_after(word, doubt)
  end
  if holds and not row then lapsed[#lapsed + 1] = name end
  if holds then mine[#mine + 1] = name end
  reply[#reply + 1] = holds and 'mine' or 'lost'
end
if #lapsed > 0 then
  take('r')
  local lines = {}
  for i, name in ipairs(lapsed) do
    redis.call('HSET', last, name, digits(pos))
    lines[i] = '- ' .. name
  end
  record(table.concat(lines, '\n'), '', 'watched again')
end
for _, name in ipairs(mine) do vouch_for(name, word, deadline) end
local answer = {'ok', digits(pos), nonce, digits(now)}
for _, what in ipairs(reply) do answer[#answer + 1] = what end
return answer
