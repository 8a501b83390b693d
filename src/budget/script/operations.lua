-- What replicas ask for, one operation a request.

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
    at = tonumber(at or '')
    if not at or not (math.abs(now - at) <= SAID_GOOD_FOR) then call('HDEL', REPLICAS, said[i])
    elseif said[i] ~= request.replica and waiting ~= '0' then others[#others + 1] = tonumber(waiting) end
  end
  return { others = #others > 0 and others or nil }
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

-- Puts in what this store has not heard of. What was built or completed by telling starts without credit.
function operations.tell()
  local added = 0
  for _, send in ipairs(request.sends) do
    added = added + call('ZADD', SENDS, exact(now - max(0, send[2])), send[1])
  end
  if state.version and added == 0 then return {} end
  local burst = not state.version and request.fresh
  state.version = request.replica .. ' ' .. exact(now)
  advancedTo = now
  for _, w in ipairs(windows) do w.credit = burst and w.burst or min(w.credit, 0) end
  close(max(request.closedMs, closedUntil - now))
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
