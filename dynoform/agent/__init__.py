"""The runtime agent, on each host beside its engine: dynos' ends, samples and limits, the host's health, one-off dynos.

One process for all of it, with the database driver, the engine's socket and the log plane alone, so that it is small.
"""
