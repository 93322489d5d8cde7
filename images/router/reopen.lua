-- Opens the way to the log plane anew when the log plane has closed it: HAProxy 3.0 keeps such a connection, sends no more, and
-- does not open another (https://github.com/haproxy/haproxy/issues/3153). Its session is ended; what waits in the ring stays there.
local ADDRESS, PORT = os.getenv("DYNOFORM_PLATFORM_ADDRESS"), tonumber(os.getenv("DYNOFORM_LOGPLEX_SYSLOG_PORT"))
local CLI = "unix@/var/lib/dynoform/router/log.sock"
local LOOK_MS, GRACE_MS, SECONDS, MOST_TRIES = 250, 1000, 5, 5
local CLOSED_BY_PEER = "08" -- as the kernel counts states, in hex (include/net/tcp_states.h)

-- The log plane's address and port as /proc/net/tcp has them: bytes of the address from the last to the first.
local function place()
    local parts = {}
    for part in ADDRESS:gmatch("%d+") do
        table.insert(parts, 1, string.format("%02X", tonumber(part)))
    end
    return table.concat(parts) .. ":" .. string.format("%04X", PORT)
end

local function is_closed(log_plane)
    local file = io.open("/proc/self/net/tcp")
    if not file then
        return false
    end
    local found = false
    for line in file:lines() do
        if line:find(" " .. log_plane .. " " .. CLOSED_BY_PEER .. " ", 1, true) then
            found = true
            break
        end
    end
    file:close()
    return found
end

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

local function watch()
    local log_plane, tries = place(), 0
    while true do
        core.msleep(LOOK_MS)
        if not is_closed(log_plane) then
            tries = 0
        else
            tries = tries + 1
            if tries > MOST_TRIES then
                os.exit(1) -- the entrypoint starts another; the ring is lost
            end
            -- The only one without a client, as this one's own have ended.
            for session in ask("show sess"):gmatch("(0x%x+): proto=%? ") do
                ask("shutdown session " .. session)
            end
            core.msleep(GRACE_MS)
        end
    end
end

core.register_task(watch)
