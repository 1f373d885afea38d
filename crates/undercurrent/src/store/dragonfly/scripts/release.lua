-- Gives up the lease on a key.
if redis.call('GET', KEYS[5]) == ARGV[7] then redis.call('DEL', KEYS[5]) end
return {'ok', digits(pos), nonce, digits(now)}
