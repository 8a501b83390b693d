-- The operations; each request runs one.

-- Blocks after a cursor in each set, oldest first, up to the bound of one request.
local function list(cursors)
  local left, isMore, reached, found = MAX_LISTED, false, {}, {}
  for i, s in ipairs(sets) do
    reached[i] = cursors[i] or '-inf'
    if left > 0 then
      -- Includes blocks left behind by a state that was lost.
      local keptFor = s.keptFor > 0 and s.keptFor or request.longestSpan
      local since = cursors[i] and cursors[i] ~= '-inf' and '(' .. cursors[i] or exact(now - keptFor)
      local page = call('ZRANGE', s.key, since, '+inf', 'BYSCORE', 'LIMIT', 0, left, 'WITHSCORES')
      for k = 1, #page, 2 do found[#found + 1] = { i, page[k], now - page[k + 1] } end
      reached[i] = page[#page] or reached[i]
      left = left - #page / 2
    end
    isMore = isMore or left == 0
  end
  return { cursors = reached, more = isMore, sends = #found > 0 and found or nil }
end

-- Every reply contains the state of the windows. A replica that knows the state also receives the new sends.
local function answer(reply, isKnown)
  local shown = {}
  for i, w in ipairs(windows) do
    shown[i] = { credit = w.credit, accruedAgo = now - w.accruedTo, share = w.share,
      recoversIn = w.recoversAt < huge and w.recoversAt - now or nil }
  end
  if isKnown then
    for field, value in pairs(list(request.cursors or {})) do reply[field] = value end
  end
  reply.version, reply.known, reply.now = state.version, isKnown, now
  reply.completions = number('completions', 0)
  reply.closedMs, reply.windows = max(0, closedUntil - now), shown
  return cjson.encode(reply)
end

local operations = {}

-- No two sends share a time: a cursor at the first would hide the second from other replicas. So each operation that
-- counts a send at the newest time leaves advancedTo a step after it.

-- Grants the earliest possible send times, from the arrival of the reply up to a horizon. All replicas use the horizon
-- of the most distant one, which would otherwise take all send times before the others can ask for them.
function operations.acquire()
  local horizon = bounded(number('horizon', 0), 0, MAX_CLOCK_BACK)
  if request.horizon >= horizon or math.abs(now - number('horizonAt', 0)) > ANNOUNCEMENT_VALID then
    horizon, state.horizon, state.horizonAt = request.horizon, request.horizon, exact(now)
  end
  local at, last = max(now + request.lead, advancedTo), now + horizon
  local moments = {}
  while at <= last and #moments < #request.sends do
    local wait = waitAt(at)
    if wait > 0 then at = at + max(wait, constants.minStepMs)
    else
      count(request.sends[#moments + 1], at)
      for _, w in ipairs(windows) do w.credit = w.credit - 1 end
      moments[#moments + 1] = at - now
      advancedTo = at + constants.minStepMs
      at = advancedTo
    end
  end
  save()
  extendExpiry()
  return { moments = #moments > 0 and moments or nil, wait = max(0, at - last) }
end

-- Counts a send that a local budget granted, within the limits or not. At the newest time: cursors of other replicas
-- would hide an earlier one.
function operations.record()
  local at = max(now, advancedTo)
  waitAt(at)
  count(request.send, at)
  for _, w in ipairs(windows) do w.credit = w.credit - 1 end
  advancedTo = at + constants.minStepMs
  save()
  extendExpiry()
  return {}
end

-- Moves a send that was made, or may have arrived upstream, later than granted.
function operations.move()
  count(request.send, now - request.agoMs)
  return {}
end

-- Parses a replica's announcement. Nil when it is not valid, or no longer.
local function parseAnnouncement(text)
  local at, waiting, limits =
    string.match(#text <= MAX_ANNOUNCEMENT_LENGTH and text or '', '^(%S+) (%d+) (%S+)$')
  at = tonumber(at or '')
  if not at or not (math.abs(now - at) <= ANNOUNCEMENT_VALID) or #waiting > 6 then return nil end
  if string.gsub(limits .. ',', '%d+/%d[%d.]*%l+,', '') ~= '' then return nil end
  return tonumber(waiting), limits
end

-- Stores the replica's announcement, and replies with the waiting reads of the others and the limits that differ.
function operations.sync()
  if call('HLEN', REPLICAS) > MAX_REPLICAS then call('UNLINK', REPLICAS) end
  local announcement = exact(now) .. ' ' .. string.format('%d', min(request.waiting, 999999)) .. ' ' .. request.limits
  call('HSET', REPLICAS, request.replica, announcement)
  save()
  extendExpiry()
  local others, limits, isReported, expired = {}, {}, { [request.limits] = true }, {}
  local announced = call('HGETALL', REPLICAS)
  for i = 1, #announced, 2 do
    local waiting, theirs = parseAnnouncement(announced[i + 1])
    if not waiting then expired[#expired + 1] = announced[i]
    elseif announced[i] ~= request.replica then
      if waiting > 0 then others[#others + 1] = waiting end
      if not isReported[theirs] and #limits < MAX_OTHER_LIMITS then limits[#limits + 1] = theirs end
      isReported[theirs] = true
    end
  end
  if #expired > 0 then call('HDEL', REPLICAS, unpack(expired)) end
  return { others = #others > 0 and others or nil, otherLimits = #limits > 0 and limits or nil }
end

-- After a closing one call of all replicas is allowed at once, then the pace is even.
local function close(forMs)
  if forMs <= 0 then return end
  closedUntil = max(closedUntil, now + min(forMs, request.longestClosing))
  for _, w in ipairs(windows) do
    w.credit = 1
    w.accruedTo = max(w.accruedTo, closedUntil)
  end
end

-- Applies decreases that a local budget has made.
local function applyShares(shares)
  for i, w in ipairs(windows) do
    w.share = min(w.share, shares[i])
    if w.share < 1 and w.recoversAt == huge then w.recoversAt = now + w.recoveryStep end
  end
end

function operations.close()
  close(request.forMs)
  applyShares(request.shares)
  save()
  extendExpiry()
  return {}
end

-- Reacts to a 429 as rate-limit-policy.ts has decided.
function operations.rateLimited()
  local isFirst = closedUntil <= now
  close(isFirst and request.closeMs or request.extendMs)
  local w = windows[request.window + 1]
  if isFirst and w then
    w.share = max(constants.lowestShare, w.share * constants.decreaseFactor)
    w.recoversAt = max(now, closedUntil) + w.recoveryStep
  end
  save()
  extendExpiry()
  return {}
end

-- Adds missing sends, a batch per request; the last batch completes the state. A state that was built or completed by a
-- merge starts without credit. Other replicas list its sends again, since their cursors would hide earlier ones.
function operations.merge()
  local added, newest = request.added, now
  for _, send in ipairs(request.sends) do
    local at = now - max(-MAX_CLOCK_BACK, send[3])
    added = added + call('ZADD', sets[send[1]].key, 'GT', 'CH', exact(at), send[2])
    newest = max(newest, at)
  end
  if not request.isLast then
    extendExpiry()
    return { added = added }
  end
  for _, s in ipairs(sets) do
    if s.own > s.keptFor then s.keptFor, s.keptAt = s.own, now end
  end
  if not state.version or added > 0 then
    local mayBurst = not state.version and request.mayBurst
    advancedTo = max(advancedTo, newest + constants.minStepMs)
    if state.version then state.completions = number('completions', 0) + 1
    else state.version, state.completions = request.replica .. ' ' .. exact(now), 0 end
    for _, w in ipairs(windows) do w.credit = mayBurst and w.burst or min(w.credit, 0) end
    close(max(request.closedMs, closedUntil - now))
    applyShares(request.shares)
  end
  save()
  extendExpiry()
  return { added = added }
end

-- These two serve a replica that does not know the state yet.
if request.op == 'list' then return answer(list(request.from), false) end
if request.op == 'merge' then return answer(operations.merge(), false) end

-- Whether the replica's newest send is there, made or granted ahead: a failover may have lost the latest sends.
local function hasNewest()
  if not request.newest then return true end
  local s, send, agoMs = windows[1].set, unpack(request.newest)
  local at = call('ZSCORE', s.key, blockOf(s, send))
  -- A block may be there without this send.
  return at and now - at <= agoMs + MAX_TRANSIT
end
if not (isKept and state.version and state.version == request.version and hasNewest()) then
  return answer({}, false)
end
-- Removes sends that were granted and not made, or whose reply was lost. Larger blocks stay as they are: their places
-- are reused under other names.
for _, send in ipairs(request.unused or {}) do
  for _, s in ipairs(sets) do
    if s.block == 1 and s.keptFor > 0 then
      local removed = call('ZREM', s.key, blockOf(s, send))
      if removed == 1 then
        s.card = s.card - 1
        for _, w in ipairs(windows) do
          if w.set == s then w.blocks, w.scores = blocksSince(w, advancedTo), nil end
        end
      end
    end
  end
end
return answer(operations[request.op](), true)
