# The app's own tests: bundle exec ruby test_app.rb
ENV["APP_ENV"] = "test"
require "minitest/autorun"
require "rack/mock"
require_relative "app"

class AppTest < Minitest::Test
  def get(path, **variables)
    before = ENV.to_h
    ENV.update(variables.transform_keys(&:to_s))
    Rack::MockRequest.new(Sinatra::Application).get(path)
  ensure
    ENV.replace(before)
  end

  def test_it_greets_with_its_config_var
    answer = get("/", GREETING: "Hej", DYNO: "web.2", HEROKU_RELEASE_VERSION: "v7")
    assert_equal [200, "Hej from Ruby\ndyno web.2, release v7\n"], [answer.status, answer.body]
  end

  def test_it_says_when_its_database_is_gone
    answer = get("/database", DATABASE_URL: "postgres://127.0.0.1:1/none")
    assert_equal [503, "the database does not answer\n"], [answer.status, answer.body]
  end
end
