# A small web app: greets, says which dyno of which release answered, and asks its database.
require "pg"
require "sinatra"

set :host_authorization, permitted_hosts: []

def whereabouts
  release = ENV["HEROKU_RELEASE_VERSION"] # of those apps that have dyno metadata
  ["dyno #{ENV.fetch("DYNO", "none")}", *("release #{release}" if release)].join(", ")
end

before { content_type "text/plain" }

get("/") { "#{ENV.fetch("GREETING", "Hello")} from Ruby\n#{whereabouts}\n" }

get "/database" do
  connection = PG.connect(ENV.fetch("DATABASE_URL"))
  "the database says #{connection.exec("SELECT 40 + 2").getvalue(0, 0)}\n"
rescue KeyError, PG::Error => error
  warn error.message
  halt 503, "the database does not answer\n"
ensure
  connection&.close
end
