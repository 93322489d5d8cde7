-- Opens the way to the log plane anew when the log plane has closed it: HAProxy 3.0 keeps such a connection, sends no more, and
-- does not open another (https://github.com/haproxy/haproxy/issues/3153). Its session is ended; what waits in the ring stays there.
local CLI = "unix@/var/lib/dynoform/router/log.sock"
local LOOK_MS, GRACE_MS, SECONDS, MOST_TRIES = 250, 1000, 5, 5
local END_OF_STREAM = 0x40000 -- a flag of HAProxy's own, of the side of a session that leads to the server

-- What this process answers to a command.
local function ask(command)
    local cli = core.tcp()
    cli:settimeout(SECONDS)
    local answer = nil
    if cli:connect(CLI) and cli:send(command .. "\n") then
        answer = cli:receive("*a")
    end
    cli:close()
    return answer or ""
end

-- The session that the log plane has left, if it has: of all sessions the one without a client.
local function left()
    for session, flags in ask("show sess"):gmatch("(0x%x+): proto=%? [^\n]* scb=%[%d+,(%x+)h") do
        if tonumber(flags, 16) & END_OF_STREAM ~= 0 then
            return session
        end
    end
end

local function watch()
    local tries = 0
    while true do
        core.msleep(LOOK_MS)
        local session = left()
        if session == nil then
            tries = 0
        else
            tries = tries + 1
            if tries > MOST_TRIES then
                os.exit(1) -- the entrypoint starts another; the ring is lost
            end
            ask("shutdown session " .. session)
            core.msleep(GRACE_MS)
        end
    end
end

core.register_task(watch)
