-- What READ and COMMIT share: whether an entry that stands under a key is valid.
local context, lease = KEYS[5], KEYS[6]

-- `moved`, `doubt` or nil, over the names of a text with one in each line.
local function judge(names, as_of)
  local verdict = nil
  for name in string.gmatch(names, '[^\n]+') do
    local found = standing(name, as_of)
    if found == 'moved' then return found end
    verdict = verdict or found
  end
  return verdict
end

-- A clock that went back behind the last look lets no deadline be believed.
local function late(deadline, looked)
  return deadline ~= '' and (tonumber(deadline) <= now or now < tonumber(looked))
end

local kept = redis.call('HMGET', context, 'inc', 'as_of', 'loader', 'names', 'own', 'deadline', 'own_deadline', 'looked',
  'h', 'version', 'inputs', 'state', 'value', 'rest')
local entry = kept[1] and {inc = kept[1], as_of = tonumber(kept[2]), loader = kept[3], names = kept[4], own = kept[5],
  deadline = kept[6], own_deadline = kept[7], looked = kept[8], h = tonumber(kept[9]), version = kept[10],
  inputs = kept[11], state = kept[12], value = kept[13] or '', rest = kept[14]}
local is_valid = entry and entry.inc == inc and not late(entry.deadline, entry.looked)
  and not judge(entry.names, entry.as_of)
