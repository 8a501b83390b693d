/**
 * A lease is `{holder} {when its call is expected, in ms of Redis' clock}`, then ` sent` or ` waiting` once that is known. Everything else under its
 * key, of whatever type, is replaced as if nothing were there.
 *
 * KEYS: the lease. ARGV: mine, its life in ms, in how many ms its call is expected, the longest such time, whose lease is replaced (or nothing).
 * → whether what was found there cannot be ours (1), then of another's lease: its holder, its phase, for how long it lasts, in how many ms
 * its call is expected. No lease lasts longer than that life, whatever its expiry says.
 */
export const CLAIM = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.pcall('GET', KEYS[1])
local spoilt = 0
if held then
  local holder, expected, phase
  if type(held) == 'string' and #held <= 100 then
    holder, expected, phase = string.match(held, '^([%w_-]+) (%d+) ?(%l*)$')
  end
  if not holder or #expected > 15 or (phase ~= '' and phase ~= 'sent' and phase ~= 'waiting') then
    spoilt = 1
  elseif holder ~= ARGV[5] then
    local left = redis.call('PTTL', KEYS[1])
    if left < 0 or left > tonumber(ARGV[2]) then
      spoilt = 1
      left = tonumber(ARGV[2])
      redis.call('PEXPIRE', KEYS[1], left)
    end
    return {spoilt, holder, phase, left, math.max(0, math.min(tonumber(expected) - now, tonumber(ARGV[4])))}
  end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. string.format('%d', now + ARGV[3]), 'PX', ARGV[2])
return {spoilt}`;

/** KEYS: the lease. ARGV: mine, its life in ms, its phase from now on; empty: as it is. */
export const PROLONG = `
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, #ARGV[1]) ~= ARGV[1] then return end
if ARGV[3] ~= '' then held = string.match(held, '^%S+ %d+') .. ' ' .. ARGV[3] end
redis.call('SET', KEYS[1], held, 'PX', ARGV[2])`;

/** KEYS: the lease. ARGV: mine. */
export const RELEASE = `
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, #ARGV[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end`;
