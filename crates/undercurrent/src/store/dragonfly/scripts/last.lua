-- Says of each name at which position it was last moved, and whether it is in doubt.
local reply = {'ok', digits(pos), nonce, digits(now)}
for i = 7, #ARGV do
  local at = string.match(redis.call('HGET', last, ARGV[i]) or '', '^%d+') or '-'
  reply[#reply + 1] = at .. (standing(ARGV[i], math.huge) and ' !' or ' .')
end
return reply
