-- Evaluates the predicate over the names of a value that is not kept; what holds and was found changed is announced.
local verdict = ARGV[7] == inc and 'valid' or 'moved'
local as_of = tonumber(ARGV[8])
for i = 10, #ARGV do
  local found = standing(ARGV[i], as_of)
  if found == 'moved' then
    verdict = found
  elseif found and verdict == 'valid' then
    verdict = found
  end
end
if verdict == 'valid' and ARGV[9] ~= '' then
  take('c')
  record(move({ARGV[9]}), '', 'a change found')
end
return {'ok', digits(pos), nonce, digits(now), verdict}
