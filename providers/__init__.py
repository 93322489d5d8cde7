"""Pulumi plugins written in Python."""
