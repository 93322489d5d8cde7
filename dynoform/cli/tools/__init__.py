"""The programs `up` needs besides Python: brought once, kept in the cache, verified before use.

Pulumi's CLI and plugins come from the first of these that has them: PATH, Pulumi's own downloads, this checkout.
"""
