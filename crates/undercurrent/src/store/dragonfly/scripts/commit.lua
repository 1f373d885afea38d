-- Finds a value good that was read from h on, or not, and keeps it. A change found is a change announced.
local h, h_nonce, over, announce, key = tonumber(ARGV[8]), ARGV[9], ARGV[10], ARGV[11], ARGV[12]
local loader, names, own, deadline, own_deadline = ARGV[13], ARGV[14], ARGV[15], ARGV[16], ARGV[17]
local version, inputs, state, value, rest = ARGV[18], ARGV[19], ARGV[20], ARGV[21], ARGV[22]
local holder, lasts, plain_for = ARGV[23], ARGV[24], ARGV[25]

local function answer(verdict) return {'ok', digits(pos), nonce, digits(now), verdict} end

if holder ~= '' and redis.call('GET', lease) == holder then redis.call('DEL', lease) end

-- The position of h has to stand as it was given: what a server forgot may have been given again.
local at = redis.call('XRANGE', log, ARGV[8] .. '-0', ARGV[8] .. '-0')
local stands = ARGV[7] == inc and #at > 0 and field(at[1], 'nonce') == h_nonce
local verdict = 'moved'
if stands then verdict = judge(names, h) end
-- What is put and refused is given to nobody, so it is no change that was found.
if verdict and loader == '0' then return answer(verdict) end
local differs = is_valid and entry.loader == loader and entry.version ~= version
if differs and (verdict or over == 'same' or entry.h >= h) then
  -- Two values, and nobody can say that the one that is here now is the later one, and good: neither stays.
  take('c')
  record(move({key}), '', 'two loads of it disagree')
  redis.call('DEL', context)
  if plain_for ~= '' then redis.call('DEL', KEYS[7]) end
  return answer(verdict or 'disagree')
end
if verdict then return answer(verdict) end

local replaces = true
if over == 'same' then
  replaces = entry and entry.version == version and entry.inputs == inputs and entry.loader == loader
elseif is_valid and tonumber(entry.loader) > tonumber(loader) then
  replaces = false
elseif differs or announce ~= '' then
  take('c')
  record(move({key}), '', 'a change found')
end
if replaces and state ~= 'large' then
  redis.call('HSET', context, 'inc', inc, 'as_of', digits(pos), 'loader', loader, 'names', names, 'own', own, 'deadline',
    deadline, 'own_deadline', own_deadline, 'looked', digits(now), 'h', digits(h), 'version', version, 'inputs', inputs,
    'state', state, 'value', value, 'rest', rest)
  redis.call('PEXPIRE', context, lasts)
end
if replaces and plain_for ~= '' then
  if state == 'there' then
    redis.call('SET', KEYS[7], value, 'PX', plain_for)
    for i = 8, #KEYS do
      redis.call('SADD', KEYS[i], string.sub(KEYS[7], 9))
      redis.call('PEXPIRE', KEYS[i], plain_for)
    end
  else
    redis.call('DEL', KEYS[7])
  end
end
return answer('valid')
