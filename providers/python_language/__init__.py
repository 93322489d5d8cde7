"""Pulumi's language host for Python programs, for networks where the official one cannot be downloaded.

The engine starts ``pulumi-language-python <engine address>``, reads a port from its standard output and calls the
``LanguageRuntime`` service (pulumi's ``proto/pulumi/language.proto``) there. The host never runs user code itself:
``Run`` starts `execute.py` with the program's own interpreter.
"""
