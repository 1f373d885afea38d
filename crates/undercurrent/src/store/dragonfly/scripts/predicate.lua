-- What scripts share that evaluate the predicate.

-- A `last` that was evicted alone remembers nothing: CLAIM says what that means.
if redis.call('HGET', last, 'inc') ~= inc then return {'claim'} end

-- Evaluates the predicate for one name: `moved`, `doubt` or nil. A scope is in doubt unless somebody vouches for it.
local function standing(name, as_of)
  local value = redis.call('HGET', last, name)
  local at = value and tonumber(string.match(value, '^%d+')) or low
  if at > as_of then return 'moved' end
  if value and string.find(value, '!', 1, true) then return 'doubt' end
  if string.sub(name, 1, 10) == 'unwatched:' then return 'doubt' end
  if string.sub(name, 1, 6) == 'scope:' and redis.call('HEXISTS', sources, name) == 0 then return 'doubt' end
  return nil
end
