-- Says at which seq a stream has an id, as PUBLISH would find it, and what the stream is.
local told = redis.call('HMGET', KEYS[5], 'born', 'durability', 'half', 'older')
local given = false
if told[3] then
  local newer, older = KEYS[6], KEYS[7]
  if told[3] == 'b' then newer, older = older, newer end
  given = redis.call('HGET', newer, ARGV[7])
  if not given and told[4] then given = redis.call('HGET', older, ARGV[7]) end
end
local seq = given and string.sub(given, 17) or ''
return {'ok', digits(pos), nonce, digits(now), seq, told[1] or redis.call('HGET', control, 'deleted'), told[2] or '0'}
