-- wrk's script: sends the requests of a file one after another, and writes what it saw as JSON.
-- The file holds each request as a line with its length in bytes, then its bytes.
-- LOAD_REQUESTS and LOAD_RESULT name the two files.
local requests, at = {}, 0

function init(_)
  local file = assert(io.open(os.getenv("LOAD_REQUESTS"), "rb"))
  local length = file:read("*l")
  while length do
    requests[#requests + 1] = file:read(tonumber(length))
    length = file:read("*l")
  end
  file:close()
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency, _)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local file = assert(io.open(os.getenv("LOAD_RESULT"), "w"))
  file:write(string.format(
    '{"requests": %d, "failed": %d, "seconds": %f, "p50": %f, "p99": %f}',
    summary.requests, failed, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3
  ))
  file:close()
end
