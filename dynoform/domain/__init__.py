"""Pure rules of the platform, in Heroku's words: no input, no output, nothing of ours imported but the errors."""
