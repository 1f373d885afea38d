-- Evaluates the predicate over the names of a value that is not kept; what holds and was found changed is announced.
local verdict = ARGV[7] == inc and 'valid' or 'moved'
local as_of, as_of_nonce = tonumber(ARGV[8]), ARGV[9]
-- A position that the caller has not applied has to stand as it was given.
if as_of_nonce ~= '' then
  local at = redis.call('XRANGE', log, ARGV[8] .. '-0', ARGV[8] .. '-0')[1]
  if not at or field(at, 'nonce') ~= as_of_nonce then verdict = 'moved' end
end
for i = 11, #ARGV do
  local found = standing(ARGV[i], as_of)
  if found == 'moved' then
    verdict = found
  elseif found and verdict == 'valid' then
    verdict = found
  end
end
if verdict == 'valid' and ARGV[10] ~= '' then
  take('c')
  record(move({ARGV[10]}), '', 'a change found')
end
return {'ok', digits(pos), nonce, digits(now), verdict}
