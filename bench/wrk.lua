-- What wrk sends, by the word after "--": plain, different or post; and what it says at the end.

function init(words)
  if words[1] == "different" then
    local count, seed = 0, tostring(os.time()) .. tostring({}):sub(-8)
    request = function()
      count = count + 1
      wrk.headers["X-Opaque-Id"] = seed .. count
      return wrk.format()
    end
  elseif words[1] == "post" then
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
    wrk.body = '{"text":"' .. string.rep("x", 4096 - 11) .. '"}'
  end
end

function done(summary, latency)
  local errors = 0
  for _, count in pairs(summary.errors) do
    errors = errors + count
  end
  io.write(string.format('\n{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "errors": %d, "bytes": %d}\n',
    summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), errors, summary.bytes))
end
