"""JSON bodies by their models: what a client sent is of that form, or it is told what is not."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from casd.errors import InvalidInput

M = TypeVar("M", bound="RequestBody")


class RequestBody(BaseModel):
    """Of nothing but its fields, each of its own type: "1" is no number, 1 is not true.

    A validator may raise InvalidInput, which pydantic lets pass as it is.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @property
    def told(self) -> dict[str, Any]:
        """The fields that were sent, also those that are null."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


def checked(model: type[M], body: dict[str, Any]) -> M:
    """Raises InvalidInput, which says the first thing that is wrong."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise InvalidInput(_message(model, error)) from None


def _message(model: type[BaseModel], error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    name, *inside = [str(part)[:40] for part in first["loc"]] or [""]
    if first["type"] == "extra_forbidden":
        return f"unknown field {name!r}; known: {', '.join(model.model_fields)}"
    field = model.model_fields.get(name)
    meant = f"; it is {field.description}" if field is not None and field.description else ""
    if first["type"] == "missing":
        return f"{name} is missing{meant}"
    where = "".join([name, *(f"[{part}]" for part in inside)])
    return f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}{meant}"
