"""Certificates that the platform gets by itself, by ACME."""
