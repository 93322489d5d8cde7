"""The dyno manager: makes Swarm run what the store says."""
