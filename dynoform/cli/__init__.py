"""`bin/dynoform`: the one program of our own that an operator types.

It talks to the `pulumi` command, the Docker engine and the Platform API, and imports nothing of the platform's own.
"""
