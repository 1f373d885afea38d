-- Says whether it is the caller's turn to let go what need not be kept.
local mine = redis.call('SET', KEYS[5], ARGV[7], 'NX', 'PX', ARGV[8])
return {'ok', digits(pos), nonce, digits(now), mine and 'y' or 'n'}
