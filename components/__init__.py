"""What exists: Pulumi components, one a file."""
