"""Pulumi plugin for what only Dynoform has: playbooks, passwords, certificates and declared apps."""
