-- The budget that all replicas share: the arithmetic of window.ts on the clock of Redis, whole in one step.
--
-- KEYS  state     hash    version, advancedTo, dueAt, closedUntil; for each window credit, accruedTo, share, recoversAt
--       sends     zset    the id of each send of the longest window → when it was counted
--       replicas  hash    a replica → when it last looked and how many reads waited there
-- ARGV  a request in JSON (budget-store.ts). Times in milliseconds: in the keys since 1970, in requests and replies from now.
--
-- Who asks says which version of the state it knows. A state that is another's (flushed and rebuilt, failed over, never
-- seen) lets nothing go: the asker gets all sends, tells those that are missing, and asks again.

local STATE, SENDS, REPLICAS = KEYS[1], KEYS[2], KEYS[3]
local CUT, FLOOR, RECOVERY = 0.7, 0.05, 0.05
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
do
  local fields = call('HGETALL', STATE)
  for i = 1, #fields, 2 do state[fields[i]] = fields[i + 1] end
  if tonumber(state.advancedTo or 0) - now > CLOCK_BACK then
    call('DEL', STATE, SENDS)
    state = {}
  end
end
local function number(field, default) return tonumber(state[field] or '') or default end

local advancedTo = number('advancedTo', now)
now = max(now, advancedTo)
local closedUntil = number('closedUntil', 0)
local dueAt = number('dueAt', huge)
local card = call('ZCARD', SENDS)

local windows, longest = request.windows, 0
for _, w in ipairs(windows) do
  longest = max(longest, w.span)
  w.credit = number('credit:' .. w.name, 0)
  w.accruedTo = number('accruedTo:' .. w.name, now)
  w.share = number('share:' .. w.name, 1)
  w.recoversAt = number('recoversAt:' .. w.name, huge)
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

-- Window arithmetic: window.ts says why.

local function limitOf(w) return max(1, math.floor(w.limit * w.share)) end

local function oldestLeaves(w)
  if w.count == 0 then return huge end
  local rank = card - w.count
  local scores = w.scores
  if not scores or rank >= w.from + #scores / 2 then
    local chunk = scores and 256 or 4
    scores = call('ZRANGE', SENDS, rank, rank + chunk - 1, 'WITHSCORES')
    w.scores, w.from = scores, rank
  end
  return tonumber(scores[2 * (rank - w.from) + 2]) + w.span
end

local function rateOf(w, at)
  local even = limitOf(w) / w.span
  if w.count == 0 then return even end
  return max(0, min(even, (limitOf(w) - w.count + 1) / (oldestLeaves(w) - at)))
end

local function advance(w, at)
  while true do
    local leaves = oldestLeaves(w)
    local til = min(at, leaves, w.recoversAt)
    if til > w.accruedTo then
      local gained = rateOf(w, w.accruedTo) * (til - w.accruedTo)
      w.credit = min(max(1, w.burst * w.share), w.credit + gained)
      w.accruedTo = til
    end
    if leaves <= at and leaves <= w.recoversAt then
      w.count = w.count - 1
    elseif w.recoversAt <= at then
      w.share = min(1, w.share + RECOVERY)
      w.recoversAt = w.share < 1 and w.recoversAt + w.span or huge
    else
      return
    end
  end
end

local function waitOf(w, at)
  advance(w, at)
  local leaves = oldestLeaves(w) - at
  if w.count >= limitOf(w) then return leaves + MOMENT end
  if w.credit >= 1 - SLACK then return 0 end
  return min((1 - w.credit) / rateOf(w, at), leaves) + MOMENT
end

local function waitAt(at)
  local wait = max(0, closedUntil - at)
  for _, w in ipairs(windows) do wait = max(wait, waitOf(w, at)) end
  advancedTo = max(advancedTo, at)
  return wait
end

-- What everyone who asks gets to know: the sends since it last heard of any, or all when it does not know this state.
local function answer(reply, known)
  local since = known and request.cursor or exact(now - longest)
  local found = call('ZRANGE', SENDS, '(' .. since, '+inf', 'BYSCORE', 'WITHSCORES')
  local sends = {}
  for i = 1, #found, 2 do sends[#sends + 1] = { found[i], now - found[i + 1] } end
  local shown = {}
  for i, w in ipairs(windows) do
    shown[i] = { credit = w.credit, accruedAgo = now - w.accruedTo, share = w.share,
      recoversIn = w.recoversAt < huge and w.recoversAt - now or nil }
  end
  reply.version, reply.known = state.version, known
  reply.closedMs, reply.windows = max(0, closedUntil - now), shown
  reply.cursor = found[#found] or since
  reply.sends = #sends > 0 and sends or nil
  return cjson.encode(reply)
end

local operations = {}

function operations.ask()
  if call('ZSCORE', SENDS, request.id) then
    -- It was let go before, and the answer was lost or came late: it is sent now.
    call('ZADD', SENDS, 'XX', exact(now), request.id)
    return { wait = 0 }
  end
  -- A send that is a little late is counted as of when it was due (local-budget.ts says why).
  local late = now - dueAt
  local at = late >= 0 and late <= request.lateness and max(dueAt, advancedTo) or now
  while true do
    local wait = waitAt(at)
    if wait <= 0 then break end
    at = at + max(wait, LEAST_STEP)
    if at > now then
      dueAt = at
      save()
      return { wait = at - now }
    end
  end
  call('ZREMRANGEBYSCORE', SENDS, '-inf', exact(at - longest))
  call('ZADD', SENDS, exact(at), request.id)
  for _, w in ipairs(windows) do w.credit = w.credit - 1 end
  dueAt = huge
  save()
  keep()
  return { wait = 0 }
end

-- A send that was let go elsewhere: it is counted, whether there is room for it or not.
function operations.note()
  waitAt(now)
  if call('ZADD', SENDS, exact(now), request.id) == 1 then
    for _, w in ipairs(windows) do w.credit = w.credit - 1 end
  end
  save()
  keep()
  return {}
end

-- Changes nothing but what is known of the replica. Says how many reads wait at each of the others.
function operations.look()
  call('HSET', REPLICAS, request.replica, exact(now) .. ' ' .. request.waiting)
  keep()
  local others, said = {}, call('HGETALL', REPLICAS)
  for i = 1, #said, 2 do
    local at, waiting = string.match(said[i + 1], '^(%S+) (%d+)$')
    if not at or math.abs(now - at) > SAID_GOOD_FOR then call('HDEL', REPLICAS, said[i])
    elseif said[i] ~= request.replica and waiting ~= '0' then others[#others + 1] = tonumber(waiting) end
  end
  return { others = #others > 0 and others or nil }
end

-- After a closing there is no credit left: the pace is even from then on.
local function close(forMs)
  closedUntil = max(closedUntil, now + forMs)
  for _, w in ipairs(windows) do
    w.credit = 0
    w.accruedTo = max(w.accruedTo, closedUntil)
  end
end

-- The limits may have been cut elsewhere.
local function lower(shares)
  for i, w in ipairs(windows) do
    w.share = min(w.share, shares[i])
    if w.share < 1 and w.recoversAt == huge then w.recoversAt = now + w.span end
  end
end

function operations.close()
  if request.forMs > 0 then close(request.forMs) end
  lower(request.shares)
  save()
  keep()
  return {}
end

-- Upstream has refused inside our limits: they are cut, once a closing. A refusal that did not say for how long says
-- nothing new while another has closed the gate.
function operations.refused()
  local first = closedUntil <= now
  if first or request.explained then close(request.forMs) end
  if first then
    for _, w in ipairs(windows) do
      w.share = max(FLOOR, w.share * CUT)
      w.recoversAt = closedUntil + w.span
    end
  end
  save()
  keep()
  return {}
end

-- Puts in what this store has not heard of. What was built or completed by telling starts without credit.
function operations.tell()
  local added = 0
  for _, send in ipairs(request.sends) do added = added + call('ZADD', SENDS, exact(now - send[2]), send[1]) end
  if state.version and added == 0 then return {} end
  local burst = not state.version and request.fresh
  state.version = request.replica .. ' ' .. exact(now)
  advancedTo = now
  closedUntil = max(closedUntil, now + request.closedMs)
  for _, w in ipairs(windows) do w.credit = burst and w.burst or min(w.credit, 0) end
  lower(request.shares)
  save()
  keep()
  return {}
end

local known = state.version ~= nil and state.version == request.version
  and (request.last == nil or call('ZSCORE', SENDS, request.last) ~= false)
if request.op == 'tell' then
  local reply = operations.tell()
  return answer(reply, true)
end
if not known then return answer({}, false) end
return answer(operations[request.op](), true)
