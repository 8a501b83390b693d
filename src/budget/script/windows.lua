-- The window arithmetic, explained in window.ts.

local function limitOf(w) return max(1, math.floor(w.limit * w.share)) end

-- A block counts in full from its first send until its last one leaves.
local function countOf(w) return w.blocks * w.set.block end

local function oldestLeaves(w)
  if w.blocks == 0 then return huge end
  local rank = w.set.card - w.blocks
  local scores = w.scores
  if not scores or rank >= w.from + #scores / 2 then
    local chunk = scores and 256 or 4
    scores = call('ZRANGE', w.set.key, rank, rank + chunk - 1, 'WITHSCORES')
    w.scores, w.from = scores, rank
  end
  return tonumber(scores[2 * (rank - w.from) + 2]) + w.span
end

local function rateOf(w, at)
  local even = limitOf(w) / w.span
  if w.blocks == 0 then return even end
  return max(0, min(even, (limitOf(w) - countOf(w) + w.set.block) / (oldestLeaves(w) - at)))
end

-- Bounded: one iteration for each block that leaves, and at most 19 recovery steps.
local function advance(w, at)
  while true do
    local leaves = oldestLeaves(w)
    local upTo = min(at, leaves, w.recoversAt)
    if upTo > w.accruedTo then
      local gained = rateOf(w, w.accruedTo) * (upTo - w.accruedTo)
      w.credit = min(max(1, w.burst * w.share), w.credit + gained)
      w.accruedTo = upTo
    end
    if leaves <= at and leaves <= w.recoversAt then
      w.blocks = w.blocks - 1
    elseif w.recoversAt <= at then
      w.share = min(1, w.share + constants.recoveryShare)
      w.recoversAt = w.share < 1 and w.recoversAt + w.recoveryStep or huge
    else
      return
    end
  end
end

local function waitOf(w, at)
  advance(w, at)
  local leaves = oldestLeaves(w) - at
  if countOf(w) >= limitOf(w) then return leaves + constants.waitMarginMs end
  if w.credit >= 1 - constants.creditTolerance then return 0 end
  local accrues = max(0, w.accruedTo - at) + (1 - w.credit) / rateOf(w, at)
  return min(accrues, leaves) + constants.waitMarginMs
end

local function waitAt(at)
  local wait = max(0, closedUntil - at)
  for _, w in ipairs(windows) do wait = max(wait, waitOf(w, at)) end
  advancedTo = max(advancedTo, at)
  return wait
end

-- The block that contains a send of this replica: the number in its name is a place in all blocks (send-names.ts).
local function blockOf(s, send)
  if s.block == 1 then return request.replica .. ':' .. send end
  return request.replica .. ':' .. string.format('%d', math.floor(string.match(send, '^%d+') / s.block))
end

-- Counts a send, or moves it to a later time. A block has the latest time of any of its sends.
local function count(send, at)
  for _, s in ipairs(sets) do
    if s.keptFor > 0 then
      s.added = call('ZADD', s.key, 'GT', exact(at), blockOf(s, send))
      s.card = s.card + s.added
    end
  end
  for _, w in ipairs(windows) do
    if w.set.added == 1 then w.blocks = w.blocks + 1
    else
      -- A moved block may have been the oldest, or have left the window.
      w.blocks, w.scores = blocksSince(w, max(at, advancedTo)), nil
    end
  end
end
