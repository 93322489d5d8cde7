"""Serves the components to Pulumi's engine, which starts this; their schema is read from their annotations."""

from pulumi.provider.experimental import component_provider_host

from packages.components.app import App
from packages.components.fleet import Fleet

if __name__ == "__main__":
    component_provider_host([App, Fleet], "dynoform-components", version="0.1.0")
