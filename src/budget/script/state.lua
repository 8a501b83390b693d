-- The budget that all replicas share: the arithmetic of window.ts on the clock of Redis, whole in one step.
-- One script in three files, in this order: state, windows, operations (budget-script.ts puts them together).
--
-- KEYS  state     hash    version, advancedTo, dueAt, closedUntil; for each window credit, accruedTo, share, recoversAt
--       sends     zset    the id of each send of the longest window → when it was counted
--       replicas  hash    a replica → when it last looked and how many reads waited there
-- ARGV  a request in JSON (budget-store.ts). Times in milliseconds: in the keys since 1970, in requests and replies from now.
--
-- Who asks says which version of the state it knows. A state that is another's (flushed and rebuilt, failed over, never
-- seen) lets nothing go: the asker gets all sends, tells those that are missing, and asks again.

local STATE, SENDS, REPLICAS = KEYS[1], KEYS[2], KEYS[3]
local CUT, LOWEST_SHARE, RECOVERY, LONGEST_STEP = 0.7, 0.05, 0.05, 300000
local SLACK, MOMENT, LEAST_STEP = 1e-9, 1e-6, 1e-3
-- A clock that goes back by more belongs to another server: times in the state mean nothing on it.
local CLOCK_BACK = 1000
-- What a replica said of its waiting reads is old after this.
local SAID_GOOD_FOR = 2000

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

do
  local fields = call('HGETALL', STATE)
  for i = 1, #fields, 2 do state[fields[i]] = fields[i + 1] end
  if number('advancedTo', 0) - now > CLOCK_BACK then
    call('DEL', STATE, SENDS)
    state = {}
  end
  call('ZREMRANGEBYSCORE', SENDS, '(' .. exact(now + CLOCK_BACK), '+inf')
end

local advancedTo = number('advancedTo', now)
now = max(now, advancedTo)
local dueAt = number('dueAt', huge)
local card = call('ZCARD', SENDS)

-- No number that is read goes beyond what this script can have written: an older version's closing may last for years.
local isHealed = false
local function bounded(value, lowest, highest)
  local inRange = max(lowest, min(highest, value))
  isHealed = isHealed or inRange ~= value
  return inRange
end

local closedUntil = bounded(number('closedUntil', 0), 0, now + request.longestClosing)
local latest = max(now, closedUntil)
local isClosingCut = isHealed

local function recoveryStep(w) return min(w.span, LONGEST_STEP) end

local windows, longest = request.windows, 0
for _, w in ipairs(windows) do
  longest = max(longest, w.span)
  -- A closing that is cut ends as any other: one call may go.
  w.credit = isClosingCut and 1 or bounded(number('credit:' .. w.name, 0), -w.limit, w.burst)
  w.accruedTo = bounded(number('accruedTo:' .. w.name, now), 0, latest)
  w.share = bounded(number('share:' .. w.name, 1), LOWEST_SHARE, 1)
  w.recoversAt = huge
  if w.share < 1 then
    w.recoversAt = bounded(number('recoversAt:' .. w.name, huge), 0, latest + recoveryStep(w))
  end
  w.count = call('ZCOUNT', SENDS, '(' .. exact(advancedTo - w.span), '+inf')
end

local function save()
  local fields = {
    'version', state.version, 'advancedTo', exact(advancedTo), 'closedUntil', exact(closedUntil),
    'dueAt', dueAt < huge and exact(dueAt) or '',
  }
  for _, w in ipairs(windows) do
    local values = { credit = w.credit, accruedTo = w.accruedTo, share = w.share, recoversAt = w.recoversAt }
    for field, value in pairs(values) do
      fields[#fields + 1] = field .. ':' .. w.name
      fields[#fields + 1] = value < huge and exact(value) or ''
    end
  end
  call('HSET', STATE, unpack(fields))
end

-- As long as a replica lives it looks, and what it looks at lives on.
local function keep()
  local ttl = string.format('%.0f', max(2 * longest, closedUntil - now) + 60000)
  for _, key in ipairs(KEYS) do call('PEXPIRE', key, ttl) end
end

-- At once: a bound that is counted from now would move on with each look.
if isHealed and state.version then
  save()
  keep()
end

