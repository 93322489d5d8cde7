"""One module per command: ``add_options(parser)`` and ``run(options, context)``, which returns the exit code."""
