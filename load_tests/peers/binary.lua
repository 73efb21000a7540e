-- wrk.lua for requests with binary tensors. In the file stand, before each body, two numbers
-- and a line end: the length of its JSON and of all of it.

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "../wrk.lua")

function init(args)
  requests, turn, riders = {}, 0, {}
  local file = assert(io.open(args[1], "rb"))
  while true do
    local json, whole = file:read("*n", "*n")
    if not whole then
      break
    end
    file:read(1)
    table.insert(requests, wrk.format("POST", nil, {
      ["Content-Type"] = "application/octet-stream",
      ["Inference-Header-Content-Length"] = tostring(json),
    }, file:read(whole)))
  end
  file:close()
end
