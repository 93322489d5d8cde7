"""Pulumi resource plugin for Docker, for networks where Pulumi's own cannot be downloaded.

It answers the unmodified ``pulumi_docker`` 5.2.0 SDK the way the official plugin does, for the types listed in
``__main__.py``. Schemas are data (``properties.py``), Check and Diff are pure functions over them (``check.py``,
``diff.py``), and only the files named after a resource type speak to an engine.
"""
