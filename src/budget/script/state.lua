-- The budget that all replicas share: the arithmetic of window.ts on the clock of Redis, whole in one step.
-- One script in three files, in this order: state, windows, operations (budget-script.ts puts them together).
--
-- KEYS  state     hash    version, completions, horizon, horizonAt, advancedTo, closedUntil; for each window credit, accruedTo, share, recoversAt;
--                         for each size of blocks keptFor, keptAt
--       replicas  hash    a replica -> when it last looked, how many reads waited there, its limits
--       sends     zsets   one for each size of blocks (send-blocks.ts): a block of one replica's sends -> the latest time in it
-- ARGV  a request in JSON (budget-store.ts). Times in milliseconds: in the keys since 1970, in requests and replies from now.
--
-- A request says which version of the state its replica knows. A state that is another's (flushed and rebuilt, failed over,
-- never seen) grants nothing: the replica lists all sends, tells those that are missing, and asks again.

local STATE, REPLICAS = KEYS[1], KEYS[2]
local CUT, LOWEST_SHARE, RECOVERY, LONGEST_STEP = 0.7, 0.05, 0.05, 300000
local SLACK, MOMENT, LEAST_STEP = 1e-9, 1e-6, 1e-3
-- A clock that goes back by more belongs to another server: times in the state mean nothing on it.
local CLOCK_BACK = 1000
-- What a replica said of its waiting reads is old after this.
local SAID_GOOD_FOR = 2000
-- By how much more an age may be here than it was when the request was made.
local LONGEST_TRANSIT = 2000
-- Blocks are kept for a replica with a longer window than the others' until it has not been heard of for so long.
local KEPT_AFTER_WORD = 60000
-- Bounds of one request: blocks removed, listed, and seen leaving a window one by one.
local MOST_REMOVED, MOST_LISTED, MOST_LEAVING = 1000, 1000, 1000
-- More fields than replicas can have written, with many limits one after another, and more replicas than there can be.
local MOST_FIELDS, MOST_REPLICAS = 256, 1000
-- What a replica says of itself is no longer, and so many other limits are reported.
local LONGEST_WORD, MOST_OTHER_LIMITS = 200, 10

local call, max, min, huge = redis.call, math.max, math.min, math.huge
local request = cjson.decode(ARGV[1])
local time = call('TIME')
local now = time[1] * 1000 + time[2] / 1000

local function exact(number) return string.format('%.17g', number) end

local state = {}
local function number(field, default)
  local value = tonumber(state[field] or '')
  -- Neither "nan" nor "inf", which tonumber takes.
  if value and value > -huge and value < huge then return value end
  return default
end

-- The fields that this replica's windows need. What else is there is not read, and thrown away when it is much.
local isHealed = call('HLEN', STATE) > MOST_FIELDS
do
  local fields = { 'version', 'completions', 'horizon', 'horizonAt', 'advancedTo', 'closedUntil' }
  for _, w in ipairs(request.windows) do
    for _, field in ipairs({ 'credit', 'accruedTo', 'share', 'recoversAt' }) do
      fields[#fields + 1] = field .. ':' .. w.name
    end
  end
  for i = 1, #request.blocks do
    for _, field in ipairs({ 'keptFor', 'keptAt' }) do fields[#fields + 1] = field .. ':' .. i end
  end
  local values = call('HMGET', STATE, unpack(fields))
  for i, field in ipairs(fields) do state[field] = values[i] or nil end
  if isHealed then call('UNLINK', STATE) end
  if number('advancedTo', 0) - now > CLOCK_BACK then
    call('DEL', STATE)
    for i = 3, #KEYS do call('UNLINK', KEYS[i]) end
    state = {}
  end
end
-- A version that this script has not written is none: other bytes would not come back from a replica as they were.
do
  local version = state.version or ''
  if #version > 64 or not string.find(version, '^[%w_-]+ %d[%d.]*$') then state.version = nil end
end

-- Sends are granted for moments up to this time: it may lie ahead of now.
local advancedTo = number('advancedTo', now)

-- No number that is read goes beyond what this script can have written: an older version's closing may last for years.
local function bounded(value, lowest, highest)
  local inRange = max(lowest, min(highest, value))
  isHealed = isHealed or inRange ~= value
  return inRange
end

local closedUntil = bounded(number('closedUntil', 0), 0, now + request.longestClosing)
local latest = max(now, advancedTo, closedUntil)
local isClosingCut = closedUntil ~= number('closedUntil', 0)

local windows, sets = request.windows, {}
for i, block in ipairs(request.blocks) do
  local keptFor = bounded(number('keptFor:' .. i, 0), 0, request.longestSpan)
  sets[i] = { key = KEYS[2 + i], block = block, own = 0, keptFor = keptFor,
    keptAt = bounded(number('keptAt:' .. i, 0), 0, now) }
end
for _, w in ipairs(windows) do
  w.set = sets[w.set]
  w.set.own = max(w.set.own, w.span)
end

-- Whether everything is kept that this replica's windows count.
local isKept = true
for _, s in ipairs(sets) do
  isKept = isKept and s.keptFor >= s.own
  if s.own > 0 and s.own == s.keptFor then s.keptAt = now end
  if s.own < s.keptFor and now - s.keptAt > KEPT_AFTER_WORD then
    s.keptFor, s.keptAt = s.own, now
    if s.own == 0 then call('UNLINK', s.key) end
  end
  if s.keptFor > 0 then
    call('ZREMRANGEBYSCORE', s.key, '(' .. exact(now + CLOCK_BACK), '+inf')
    -- Not what leaves between then and now: until it did, the windows accrued credit by it.
    local gone = call('ZCOUNT', s.key, '-inf', exact(min(now, advancedTo) - s.keptFor))
    if gone > 0 then call('ZREMRANGEBYRANK', s.key, 0, min(gone, MOST_REMOVED) - 1) end
    s.card = call('ZCARD', s.key)
  end
end

local function recoveryStep(w) return min(w.span, LONGEST_STEP) end

local function blocksSince(w, at)
  if w.set.keptFor == 0 then return 0 end
  return call('ZCOUNT', w.set.key, '(' .. exact(at - w.span), '+inf')
end

for _, w in ipairs(windows) do
  -- A closing that is cut ends as any other: one call may go.
  w.credit = isClosingCut and 1 or bounded(number('credit:' .. w.name, 0), -w.limit, w.burst)
  w.accruedTo = bounded(number('accruedTo:' .. w.name, now), 0, latest)
  w.share = bounded(number('share:' .. w.name, 1), LOWEST_SHARE, 1)
  w.recoversAt = huge
  if w.share < 1 then
    w.recoversAt = bounded(number('recoversAt:' .. w.name, huge), 0, latest + recoveryStep(w))
  end
  w.blocks = blocksSince(w, advancedTo)
  -- After a long pause: what left the window before the last of those that are seen one by one has earned no credit.
  local skipped = w.blocks - blocksSince(w, now) - MOST_LEAVING
  if skipped > 0 then
    w.blocks = w.blocks - skipped
    local last = call('ZRANGE', w.set.key, w.set.card - w.blocks - 1, w.set.card - w.blocks - 1, 'WITHSCORES')
    w.accruedTo = max(w.accruedTo, min(now, last[2] + w.span))
  end
end

local function save()
  local fields = {
    'version', state.version, 'advancedTo', exact(advancedTo), 'closedUntil', exact(closedUntil),
    'completions', number('completions', 0),
    'horizon', exact(number('horizon', 0)), 'horizonAt', exact(number('horizonAt', 0)),
  }
  for _, w in ipairs(windows) do
    local values = { credit = w.credit, accruedTo = w.accruedTo, share = w.share, recoversAt = w.recoversAt }
    for field, value in pairs(values) do
      fields[#fields + 1] = field .. ':' .. w.name
      fields[#fields + 1] = value < huge and exact(value) or ''
    end
  end
  for i, s in ipairs(sets) do
    for field, value in pairs({ keptFor = s.keptFor, keptAt = s.keptAt }) do
      fields[#fields + 1] = field .. ':' .. i
      fields[#fields + 1] = exact(value)
    end
  end
  call('HSET', STATE, unpack(fields))
end

-- As long as a replica lives it looks, and what it looks at lives on.
local function keep()
  local keptFor, keys = 0, { STATE, REPLICAS }
  for _, s in ipairs(sets) do
    keptFor = max(keptFor, s.keptFor)
    if s.keptFor > 0 or s.own > 0 then keys[#keys + 1] = s.key end
  end
  local ttl = string.format('%.0f', max(2 * keptFor, closedUntil - now) + 60000)
  for _, key in ipairs(keys) do call('PEXPIRE', key, ttl) end
end

-- At once: a bound that is counted from now would move on with each look.
if isHealed and state.version then
  save()
  keep()
end
