-- What scripts share in which a node says who is to be believed.

-- What a node says of scopes carries a word, `<who>.<how often they have put something in doubt>`, so that what comes late
-- is known by it. A mark of doubt is `!` and the word that was in force, and a row of `sources` a word and a deadline.
local function spoken(word)
  local who, times = string.match(word or '', '^(%w+)%.(%d+)$')
  return who, tonumber(times)
end

-- Says whether a word is of somebody who has not put anything in doubt after another one of theirs.
local function comes_after(word, other)
  local who, times = spoken(word)
  local whose, before = spoken(other)
  return who and who == whose and times >= before
end

-- The word of a name that is in doubt; nil for one that is not.
local function doubted_by(name) return string.match(mark_of(name), '!(.*)$') end

-- Until when somebody is believed who said something then: it may have been long on the way.
local function believed_until(said, vouch) return math.min(now, said) + vouch end

local function vouch_for(scope, word, deadline)
  redis.call('HSET', sources, scope, word .. ' ' .. digits(deadline))
  if due and due <= deadline then return end
  due = deadline
  redis.call('HSET', control, 'due', digits(due))
end
