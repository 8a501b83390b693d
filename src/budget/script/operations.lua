-- What replicas ask for, one operation a request.

-- Blocks that are newer than a cursor, of each set: as many as one request may list. They are listed from the oldest on.
local function list(cursors)
  local left, isMore, reached, found = MOST_LISTED, false, {}, {}
  for i, s in ipairs(sets) do
    reached[i] = cursors[i] or '-inf'
    if left > 0 then
      -- Also what a state that was lost has left behind.
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

-- Every reply tells how the windows stand, and one to a replica that knows the state what is new in it.
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

-- No two sends have one time: the cursors of those who have heard of the first would hide the second. So each operation
-- that counts one at the newest moment leaves advancedTo a step after it.

-- Grants sends for the first moments that they may go at, from when the reply can be there up to a horizon. The one of the farthest
-- replica is everyone's: it would take all moments before the others see them.
function operations.ask()
  local horizon = bounded(number('horizon', 0), 0, CLOCK_BACK)
  if request.horizon >= horizon or math.abs(now - number('horizonAt', 0)) > SAID_GOOD_FOR then
    horizon, state.horizon, state.horizonAt = request.horizon, request.horizon, exact(now)
  end
  local at, last = max(now + request.lead, advancedTo), now + horizon
  local moments = {}
  while at <= last and #moments < #request.sends do
    local wait = waitAt(at)
    if wait > 0 then at = at + max(wait, LEAST_STEP)
    else
      count(request.sends[#moments + 1], at)
      for _, w in ipairs(windows) do w.credit = w.credit - 1 end
      moments[#moments + 1] = at - now
      advancedTo = at + LEAST_STEP
      at = advancedTo
    end
  end
  save()
  keep()
  return { moments = #moments > 0 and moments or nil, wait = max(0, at - last) }
end

-- A send that was let go elsewhere: it is counted, whether there is room for it or not. As of the newest moment: from an earlier
-- one the others would not hear of it.
function operations.note()
  local at = max(now, advancedTo)
  waitAt(at)
  count(request.send, at)
  for _, w in ipairs(windows) do w.credit = w.credit - 1 end
  advancedTo = at + LEAST_STEP
  save()
  keep()
  return {}
end

-- A send that went, or may have arrived upstream, later than granted.
function operations.recount()
  count(request.send, now - request.agoMs)
  return {}
end

-- When a replica looked, how many reads waited there, and its limits, if it can have written that.
local function parsed(word)
  local at, waiting, limits = string.match(#word <= LONGEST_WORD and word or '', '^(%S+) (%d+) (%S+)$')
  at = tonumber(at or '')
  if not at or not (math.abs(now - at) <= SAID_GOOD_FOR) or #waiting > 6 then return nil end
  if string.gsub(limits .. ',', '%d+/%d[%d.]*%l+,', '') ~= '' then return nil end
  return tonumber(waiting), limits
end

-- Changes nothing but what is known of the replica. Says how many reads wait at each of the others, and who has other limits.
function operations.look()
  if call('HLEN', REPLICAS) > MOST_REPLICAS then call('UNLINK', REPLICAS) end
  local word = exact(now) .. ' ' .. string.format('%d', min(request.waiting, 999999)) .. ' ' .. request.limits
  call('HSET', REPLICAS, request.replica, word)
  save()
  keep()
  local others, limits, isReported, gone = {}, {}, { [request.limits] = true }, {}
  local said = call('HGETALL', REPLICAS)
  for i = 1, #said, 2 do
    local waiting, theirs = parsed(said[i + 1])
    if not waiting then gone[#gone + 1] = said[i]
    elseif said[i] ~= request.replica then
      if waiting > 0 then others[#others + 1] = waiting end
      if not isReported[theirs] and #limits < MOST_OTHER_LIMITS then limits[#limits + 1] = theirs end
      isReported[theirs] = true
    end
  end
  if #gone > 0 then call('HDEL', REPLICAS, unpack(gone)) end
  return { others = #others > 0 and others or nil, otherLimits = #limits > 0 and limits or nil }
end

-- After a closing one call may go at once, whoever makes it, and the pace is even from then on.
local function close(forMs)
  if forMs <= 0 then return end
  closedUntil = max(closedUntil, now + min(forMs, request.longestClosing))
  for _, w in ipairs(windows) do
    w.credit = 1
    w.accruedTo = max(w.accruedTo, closedUntil)
  end
end

-- The limits may have been cut elsewhere.
local function lower(shares)
  for i, w in ipairs(windows) do
    w.share = min(w.share, shares[i])
    if w.share < 1 and w.recoversAt == huge then w.recoversAt = now + recoveryStep(w) end
  end
end

function operations.close()
  close(request.forMs)
  lower(request.shares)
  save()
  keep()
  return {}
end

-- Upstream has refused inside our limits: the one that the refusal speaks of is cut, once a closing. A refusal that did not say
-- for how long says nothing new while another has closed the gate.
function operations.refused()
  local first = closedUntil <= now
  if first or request.explained then close(request.forMs) end
  if first then
    for _, w in ipairs(windows) do
      if w.name == request.cuts then
        w.share = max(LOWEST_SHARE, w.share * CUT)
        w.recoversAt = max(now, closedUntil) + recoveryStep(w)
      end
    end
  end
  save()
  keep()
  return {}
end

-- Puts in what this store has not heard of, a part a request; the last part says that it is whole. What was built or completed
-- by telling starts without credit. The others list the sends of a completed state anew: from earlier moments they hear of none.
function operations.tell()
  local added, newest = request.added, now
  for _, send in ipairs(request.sends) do
    local at = now - max(-CLOCK_BACK, send[3])
    added = added + call('ZADD', sets[send[1]].key, 'GT', 'CH', exact(at), send[2])
    newest = max(newest, at)
  end
  if not request.isLast then
    keep()
    return { added = added }
  end
  for _, s in ipairs(sets) do
    if s.own > s.keptFor then s.keptFor, s.keptAt = s.own, now end
  end
  if not state.version or added > 0 then
    local burst = not state.version and request.fresh
    advancedTo = max(advancedTo, newest + LEAST_STEP)
    if state.version then state.completions = number('completions', 0) + 1
    else state.version, state.completions = request.replica .. ' ' .. exact(now), 0 end
    for _, w in ipairs(windows) do w.credit = burst and w.burst or min(w.credit, 0) end
    close(max(request.closedMs, closedUntil - now))
    lower(request.shares)
  end
  save()
  keep()
  return { added = added }
end

-- A replica that lists the sends of a state that it does not know yet.
if request.op == 'list' then return answer(list(request.from), false) end
if request.op == 'tell' then return answer(operations.tell(), false) end

-- Its newest send has to be there, gone or granted ahead: a failover may have lost the last ones.
local function hasNewest()
  if not request.newest then return true end
  local s, send, agoMs = windows[1].set, unpack(request.newest)
  local at = call('ZSCORE', s.key, blockOf(s, send))
  -- A block may be there as it was before this send.
  return at and now - at <= agoMs + LONGEST_TRANSIT
end
if not (isKept and state.version and state.version == request.version and hasNewest()) then
  return answer({}, false)
end
-- Sends that were granted and did not go, or of which the answer was lost. A block is not taken apart: its
-- places are used again, under other names.
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
