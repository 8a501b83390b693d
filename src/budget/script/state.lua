-- The shared budget: the arithmetic of window.ts on the clock of Redis, one atomic operation per request.
-- One script in three files, in this order: state, windows, operations (budget-script.ts joins them).
--
-- KEYS  state     hash    version, completions, horizon, horizonAt, advancedTo, closedUntil;
--                         for each window credit, accruedTo, share, recoversAt; for each block size keptFor, keptAt
--       replicas  hash    replica -> time of its last sync, number of its waiting reads, its limits
--       sends     zsets   one per block size (send-blocks.ts): block of one replica's sends -> its latest send time
-- ARGV  a request in JSON (budget-store.ts), which brings the constants of the arithmetic (window-constants.ts)
-- Times in milliseconds: since 1970 in the keys, relative to now in requests and replies.
--
-- A request names the version of the state that its replica knows. A state of another version (flushed and rebuilt,
-- failed over, never seen) grants nothing: the replica lists all sends, merges the missing ones, and repeats its
-- request.

local STATE, REPLICAS = KEYS[1], KEYS[2]
-- A clock that is behind the state by more than this belongs to another server: the state's times mean nothing on it.
local MAX_CLOCK_BACK = 1000
-- How long a replica's announcement (waiting reads, limits, horizon) is valid.
local ANNOUNCEMENT_VALID = 2000
-- Most time between a request and its execution: ages in it may be older here by this much.
local MAX_TRANSIT = 2000
-- How long blocks are kept for a replica with a longer window than the others after its last request.
local KEPT_AFTER_REQUEST = 60000
-- Bounds of one request: blocks removed, listed, and processed one by one as they leave a window.
local MAX_REMOVED, MAX_LISTED, MAX_LEAVING = 1000, 1000, 1000
-- More fields than replicas can have written, even with many successive limits, and more replicas than there can be.
local MAX_FIELDS, MAX_REPLICAS = 256, 1000
-- Longest announcement of a replica, and most other limits that are reported.
local MAX_ANNOUNCEMENT_LENGTH, MAX_OTHER_LIMITS = 200, 10

local call, max, min, huge = redis.call, math.max, math.min, math.huge
local request = cjson.decode(ARGV[1])
local constants = request.constants
local time = call('TIME')
local now = time[1] * 1000 + time[2] / 1000

local function exact(number) return string.format('%.17g', number) end

local state = {}
local function number(field, default)
  local value = tonumber(state[field] or '')
  -- tonumber accepts "nan" and "inf" too.
  if value and value > -huge and value < huge then return value end
  return default
end

-- Reads the fields that this replica's windows need. Other fields are not read, and deleted when there are many.
local isHealed = call('HLEN', STATE) > MAX_FIELDS
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
  if number('advancedTo', 0) - now > MAX_CLOCK_BACK then
    call('DEL', STATE)
    for i = 3, #KEYS do call('UNLINK', KEYS[i]) end
    state = {}
  end
end
-- A version that this script has not written is ignored: other bytes would not survive the way to a replica and back.
do
  local version = state.version or ''
  if #version > 64 or not string.find(version, '^[%w_-]+ %d[%d.]*$') then state.version = nil end
end

-- Sends have been granted up to this time, which may lie ahead of now.
local advancedTo = number('advancedTo', now)

-- Numbers are clamped to what this script can have written: a state of an older version may be closed for years.
local function bounded(value, lowest, highest)
  local inRange = max(lowest, min(highest, value))
  isHealed = isHealed or inRange ~= value
  return inRange
end

local closedUntil = bounded(number('closedUntil', 0), 0, now + request.longestClosing)
local latest = max(now, advancedTo, closedUntil)
local isClosingShortened = closedUntil ~= number('closedUntil', 0)

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

-- Whether all sends are kept that this replica's windows count.
local isKept = true
for _, s in ipairs(sets) do
  isKept = isKept and s.keptFor >= s.own
  if s.own > 0 and s.own == s.keptFor then s.keptAt = now end
  if s.own < s.keptFor and now - s.keptAt > KEPT_AFTER_REQUEST then
    s.keptFor, s.keptAt = s.own, now
    if s.own == 0 then call('UNLINK', s.key) end
  end
  if s.keptFor > 0 then
    call('ZREMRANGEBYSCORE', s.key, '(' .. exact(now + MAX_CLOCK_BACK), '+inf')
    -- Not those that leave after advancedTo: advance() processes them.
    local expired = call('ZCOUNT', s.key, '-inf', exact(min(now, advancedTo) - s.keptFor))
    if expired > 0 then call('ZREMRANGEBYRANK', s.key, 0, min(expired, MAX_REMOVED) - 1) end
    s.card = call('ZCARD', s.key)
  end
end

local function blocksSince(w, at)
  if w.set.keptFor == 0 then return 0 end
  return call('ZCOUNT', w.set.key, '(' .. exact(at - w.span), '+inf')
end

for _, w in ipairs(windows) do
  -- A shortened closing ends like any other: one call is allowed at once.
  w.credit = isClosingShortened and 1 or bounded(number('credit:' .. w.name, 0), -w.limit, w.burst)
  w.accruedTo = bounded(number('accruedTo:' .. w.name, now), 0, latest)
  w.share = bounded(number('share:' .. w.name, 1), constants.lowestShare, 1)
  w.recoversAt = huge
  if w.share < 1 then
    w.recoversAt = bounded(number('recoversAt:' .. w.name, huge), 0, latest + w.recoveryStep)
  end
  w.blocks = blocksSince(w, advancedTo)
  -- After a long pause only the latest sends that left the window are processed; the others have earned no credit.
  local skipped = w.blocks - blocksSince(w, now) - MAX_LEAVING
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

-- Running replicas sync, which keeps the keys alive.
local function extendExpiry()
  local keptFor, keys = 0, { STATE, REPLICAS }
  for _, s in ipairs(sets) do
    keptFor = max(keptFor, s.keptFor)
    if s.keptFor > 0 or s.own > 0 then keys[#keys + 1] = s.key end
  end
  local ttl = string.format('%.0f', max(2 * keptFor, closedUntil - now) + 60000)
  for _, key in ipairs(keys) do call('PEXPIRE', key, ttl) end
end

-- Saved at once: a bound relative to now would otherwise move with every request.
if isHealed and state.version then
  save()
  extendExpiry()
end
