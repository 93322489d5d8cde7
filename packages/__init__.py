"""Packages for Pulumi programs of others."""
