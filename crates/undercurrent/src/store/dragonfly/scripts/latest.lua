-- Returns the last state of a key.
return {'ok', digits(pos), nonce, digits(now), redis.call('HGET', KEYS[5], 'value')}
