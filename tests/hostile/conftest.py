"""The Hub's stand-in, for adapters and bases that are not on this machine."""

from tests.parents.conftest import hub

__all__ = ["hub"]
