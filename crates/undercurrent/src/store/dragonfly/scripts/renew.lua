-- Says that the caller still watches these scopes; those that nobody vouched for any more begin anew.
local generation, vouch = ARGV[7], tonumber(ARGV[8])
local mine, lapsed, reply = {}, {}, {}
for i = 9, #ARGV do
  local row = redis.call('HGET', sources, ARGV[i])
  if not row then lapsed[#lapsed + 1] = ARGV[i] end
  if not row or string.match(row, '^%S+') == generation then
    mine[#mine + 1] = ARGV[i]
    reply[#reply + 1] = 'mine'
  else
    reply[#reply + 1] = 'lost'
  end
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
for _, name in ipairs(mine) do redis.call('HSET', sources, name, generation .. ' ' .. digits(now + vouch)) end
if #mine > 0 and (not redis.call('HGET', control, 'due')) then
  redis.call('HSET', control, 'due', digits(now + vouch))
end
local answer = {'ok', digits(pos), nonce, digits(now)}
for _, what in ipairs(reply) do answer[#answer + 1] = what end
return answer
