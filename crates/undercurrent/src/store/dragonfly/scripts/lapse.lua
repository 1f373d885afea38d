-- Has put in doubt what nobody vouched for in time.
return {'ok', digits(pos), nonce, digits(now)}
