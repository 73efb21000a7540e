-- POSTs the lines of a file in turn, counts the batches that the answers rode in, and
-- prints a line of JSON at the end. Bodies differ, so that no server can answer two
-- connections with one run. By hand, against any server of the protocol:
--
--   wrk -t1 -c64 -d8s -s load_tests/wrk.lua http://127.0.0.1:8000/v2/models/perceptron/infer \
--       -- load_tests/out/requests.jsonl
--
-- Reading the header of each answer costs wrk about 5 µs a request, on its own core.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  requests, turn, riders = {}, 0, {}
  for line in io.lines(args[1]) do
    table.insert(requests, wrk.format("POST", nil, { ["Content-Type"] = "application/json" }, line))
  end
end

function response(status, headers)
  -- The header's name keeps the case that the server chose.
  local timing = headers["server-timing"] or headers["Server-Timing"]
  local rows = timing and timing:match("batch;desc=(%d+)")
  if rows then
    riders[rows] = (riders[rows] or 0) + 1
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local counts = {}
  for _, thread in ipairs(threads) do
    for rows, number in pairs(thread:get("riders")) do
      table.insert(counts, string.format('["%s", %d]', rows, number))
    end
  end
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "not_2xx": %d, "broken": %d, "riders": [%s]}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, table.concat(counts, ", ")))
end
