"""Git repositories of apps, served by git's own http-backend. Knows git, and nothing of builds and releases."""
