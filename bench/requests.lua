-- Sends the requests of a file in turn: a path per line, after a tab the ETag for If-None-Match.
-- wrk … --script bench/requests.lua URL -- FILE KEY

local threads, requests, position = 0, {}, 0

function setup(thread)
  thread:set("offset", threads)
  threads = threads + 1
end

-- Formatted once: what is measured has to share the machine with this.
function init(args)
  for line in io.lines(args[1]) do
    local path, etag = line:match("^([^\t]*)\t?(.*)$")
    local headers = { Authorization = "Bearer " .. args[2] }
    if etag ~= "" then headers["If-None-Match"] = etag end
    requests[#requests + 1] = wrk.format("GET", path, headers)
  end
  -- So that two threads do not ask for the same thing at the same time.
  position = math.floor(#requests / 2) * offset
end

function request()
  position = position % #requests + 1
  return requests[position]
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
