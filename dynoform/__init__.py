"""The platform's own software: Platform API, workers and the operator's command."""
