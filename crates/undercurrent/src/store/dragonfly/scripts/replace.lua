-- Puts another value in the place of one that still stands there: of a hash, its field.
local is = redis.call('HGET', KEYS[5], ARGV[7])
if is == ARGV[8] then redis.call('HSET', KEYS[5], ARGV[7], ARGV[9]) end
return {'ok', digits(pos), nonce, digits(now), is == ARGV[8] and 'y' or 'n'}
