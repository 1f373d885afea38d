-- Says at which seq a stream has an id, and what the stream is.
local told = redis.call('HMGET', KEYS[5], 'born', 'durability')
local given = told[1] and (redis.call('HGET', KEYS[6], ARGV[8]) or redis.call('HGET', KEYS[7], ARGV[8]))
local seq = given and string.sub(given, 17) or ''
return {'ok', digits(pos), nonce, digits(now), seq, told[1] or found[6], told[2] or '0'}
