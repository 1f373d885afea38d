-- Evaluates the predicate over the names of a value that is not kept; what holds and was found changed is announced.
local verdict = ARGV[8] == inc and 'valid' or 'moved'
local as_of = tonumber(ARGV[9])
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
