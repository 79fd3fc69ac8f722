"""Python objects as bytes: JSON for what JSON can say, pickle where the caller insists. All of it blocks.

A pickle is a program. Loading one runs whatever its author wrote, with all the rights of whoever loads it, and nothing
in it can be checked before. So none is ever loaded because of a content type, which anybody can set who may write in
a namespace: the caller says so at each call.
"""

from __future__ import annotations

import json
import pickle
from typing import IO, Any

from casd.client.errors import Unreadable
from casd.errors import InvalidInput

JSON_TYPE = "application/json"
PICKLE_TYPE = "application/vnd.pickle+binary"  # Datapane's, so that its clients load what is stored here
PICKLE_PROTOCOL = 4  # every Python that its clients run on reads this one


def write_json(obj: object, file: IO[bytes]) -> None:
    """The object stands in `file` as JSON. Raises InvalidInput for what would come back as something else."""
    try:
        text = json.dumps(obj, ensure_ascii=False, allow_nan=False)
        data = text.encode()
        is_same = json.loads(text) == obj
    except (TypeError, ValueError, RecursionError) as error:
        raise _no_json(obj, f": {error}") from error
    if not is_same:  # a tuple would become a list, a number as a key text
        raise _no_json(obj, " without becoming something else")
    file.write(data)


def write_pickle(obj: object, file: IO[bytes]) -> None:
    """Raises InvalidInput for what cannot be pickled."""
    try:
        pickle.dump(obj, file, protocol=PICKLE_PROTOCOL)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInput(f"this {type(obj).__name__} cannot be pickled: {error}") from error


def read_json(file: IO[bytes]) -> Any:
    """Raises Unreadable."""
    try:
        return json.load(file)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"this does not read as JSON: {error}") from error


def load_pickle(file: IO[bytes]) -> Any:
    """What the pickle makes when it runs. Raises whatever it raises."""
    return pickle.load(file)


def is_pickle(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == PICKLE_TYPE


def _no_json(obj: object, why: str) -> InvalidInput:
    return InvalidInput(
        f"this {type(obj).__name__} cannot be written as JSON{why}; as_pickle=True stores any Python object, "
        "but whoever is to read it must then trust you"
    )
