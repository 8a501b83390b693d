/**
 * Claims a lease, stored as `{holder} {expected time of its call, in ms of Redis' clock}[ sent| waiting]`. Any other
 * value of the key, of whatever type, is replaced.
 *
 * KEYS: the lease. ARGV: this holder, lifetime in ms, ms until its call is expected, upper bound of that, and a holder
 * whose lease may be taken over (or nothing). Returns 1 if the former value was invalid, else 0; for a lease of another
 * holder also that holder, its phase, ms until the lease ends and ms until its call is expected. An expiry beyond the
 * lifetime is shortened to it.
 */
export const CLAIM = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.pcall('GET', KEYS[1])
local invalid = 0
if held then
  local holder, expected, phase
  if type(held) == 'string' and #held <= 100 then
    holder, expected, phase = string.match(held, '^([%w_-]+) (%d+) ?(%l*)$')
  end
  if not holder or #expected > 15 or (phase ~= '' and phase ~= 'sent' and phase ~= 'waiting') then
    invalid = 1
  elseif holder ~= ARGV[5] then
    local left = redis.call('PTTL', KEYS[1])
    if left < 0 or left > tonumber(ARGV[2]) then
      invalid = 1
      left = tonumber(ARGV[2])
      redis.call('PEXPIRE', KEYS[1], left)
    end
    return {invalid, holder, phase, left, math.max(0, math.min(tonumber(expected) - now, tonumber(ARGV[4])))}
  end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. string.format('%d', now + ARGV[3]), 'PX', ARGV[2])
return {invalid}`;

/** Extends a lease. KEYS: the lease. ARGV: this holder, lifetime in ms, new phase; empty: unchanged. */
export const EXTEND = `
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, #ARGV[1]) ~= ARGV[1] then return end
if ARGV[3] ~= '' then held = string.match(held, '^%S+ %d+') .. ' ' .. ARGV[3] end
redis.call('SET', KEYS[1], held, 'PX', ARGV[2])`;

/** Deletes a lease. KEYS: the lease. ARGV: this holder. */
export const RELEASE = `
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, #ARGV[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end`;
