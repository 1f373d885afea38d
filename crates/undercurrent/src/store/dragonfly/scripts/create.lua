-- Sets a stream up, or sets how much one keeps that is there.
local streams, meta = KEYS[5], KEYS[6]
local name, durability, retention = ARGV[7], ARGV[8], ARGV[9]
local has = redis.call('HGET', meta, 'durability')
if has and has ~= durability then return {'ok', digits(pos), nonce, digits(now), 'other', has} end
if not has then
  redis.call('HSET', meta, 'seq', '0', 'born', redis.call('HGET', control, 'deleted'), 'durability', durability)
  redis.call('SADD', streams, name)
end
redis.call('HSET', meta, 'retention', retention)
return {'ok', digits(pos), nonce, digits(now), 'set', ''}
