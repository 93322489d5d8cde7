# The app's own tests: bundle exec ruby test_app.rb
ENV["APP_ENV"] = "test"
require "rack/mock"
require_relative "app"
Sinatra::Application.run = false

def check(path, variables, expected)
  before = ENV.to_h
  ENV.update(variables)
  answer = Rack::MockRequest.new(Sinatra::Application).get(path)
  abort "#{path}: #{answer.status} #{answer.body}" unless [answer.status, answer.body] == expected
ensure
  ENV.replace(before)
end

check("/", { "GREETING" => "Hej", "DYNO" => "web.2", "HEROKU_RELEASE_VERSION" => "v7" },
      [200, "Hej from Ruby\ndyno web.2, release v7\n"])
check("/", { "GREETING" => "Hej", "DYNO" => "web.2", "HEROKU_RELEASE_VERSION" => nil }, [200, "Hej from Ruby\ndyno web.2\n"])
check("/database", { "DATABASE_URL" => "postgres://127.0.0.1:1/none" }, [503, "the database does not answer\n"])
puts "passed"
