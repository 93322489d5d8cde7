"""The log plane: one buffer per app."""
