"""One-off dynos: the run agent, beside the engine of a host, makes their containers and connects their terminals.

It uses the database driver, the engine's socket and the log plane alone, so that it stays small.
"""
