-- Places the orders of a file in turn: a JSON body per line, each under a key of its own.
-- wrk … --script bench/orders.lua URL -- FILE KEY

local threads, bodies, sent = 0, {}, 0

function setup(thread)
  thread:set("offset", threads)
  threads = threads + 1
end

function init(args)
  for line in io.lines(args[1]) do bodies[#bodies + 1] = line end
  authorization = "Bearer " .. args[2]
  run = os.time() .. "-" .. math.random(2 ^ 31) .. "-" .. offset
end

function request()
  sent = sent + 1
  return wrk.format("POST", "/api/v1/orders", {
    Authorization = authorization,
    ["Content-Type"] = "application/json",
    ["Idempotency-Key"] = run .. "-" .. sent,
  }, bodies[(sent * 7919 + offset * math.floor(#bodies / 2)) % #bodies + 1])
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.connect + errors.read + errors.write + errors.timeout + errors.status
  ))
end
