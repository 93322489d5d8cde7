"""Dynoform's components for Pulumi programs in any language: the package ``dynoform-components``."""
