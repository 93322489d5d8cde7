-- Holds a request until the router agent says where to send it: one line to its socket with the app's id, and "down" if
-- no known dyno can be connected to; one line back, "up ADDRESS PORT DYNO" or the code of an error. An agent that is away
-- may come back, and is asked again until then. A request that has come once more has less time (txn.most, seconds).
local SOCKET = "unix@/var/lib/dynoform/router/gate.sock"
local SECONDS = tonumber(os.getenv("DYNOFORM_HOLD_SECONDS")) or 75 -- Heroku's H20
local PAUSE_MS = 200

local function milliseconds()
    local now = core.now()
    return now.sec * 1000 + now.usec // 1000
end

-- One question; nil when there was no answer.
local function ask(question, seconds)
    local gate = core.tcp()
    gate:settimeout(seconds)
    local answer = nil
    if gate:connect(SOCKET) and gate:send(question .. "\n") then
        answer = gate:receive("*l")
    end
    gate:close()
    return answer
end

local function hold(txn)
    local started = milliseconds()
    local seconds = math.min(SECONDS, txn:get_var("txn.most") or SECONDS)
    local down = txn:get_var("txn.down")
    local question = txn:get_var("txn.app") .. (down and " down" or "")
    local answer = nil
    while not answer do
        local left = seconds - (milliseconds() - started) // 1000
        if left <= 0 then
            answer = down and "H99" or "H20"
        else
            answer = ask(question, left)
            if not answer then
                core.msleep(PAUSE_MS)
            end
        end
    end
    txn:set_var("txn.held", milliseconds() - started)
    local address, port, dyno = answer:match("^up (%S+) (%d+) (%S+)$")
    if address then
        txn:set_var("txn.address", address)
        txn:set_var("txn.port", math.tointeger(port))
        txn:set_var("txn.dyno", dyno)
    else
        txn:set_var("txn.code", answer)
    end
end

core.register_action("hold", { "http-req" }, hold)
