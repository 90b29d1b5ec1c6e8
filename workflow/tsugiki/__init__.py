"""tsugiki: evolutionary model merging as an auditable workflow."""

__version__ = "0.1.0"
