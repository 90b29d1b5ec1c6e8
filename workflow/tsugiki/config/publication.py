"""What a configuration says of the publication of its model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from tsugiki.contracts.data import IfSet, Section


class Publication(Section):
    """The licence of the published model, where the parents' do not decide it."""

    license: Annotated[str, Field(min_length=1)]
    """The licence, as the Hub calls it, such as `apache-2.0`; `other` needs `license_name`."""
    license_name: IfSet[str | None] = None
    """Name of another licence."""
    license_link: IfSet[str | None] = None
    """Where the text of another licence is."""
    reason: Annotated[str, Field(min_length=10)]
    """Why the model may be published under it. It goes into the model card."""

    @model_validator(mode="after")
    def _other_has_a_name(self) -> Publication:
        if self.license == "other" and self.license_name is None:
            raise ValueError("license `other` needs `license_name`")
        return self
