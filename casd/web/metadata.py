"""What a metadata key and a metadata value may be, in every dialect."""

import json

from casd.errors import TooLarge
from casd.model import JSON
from casd.web.receive import checked_text

METADATA_VALUE_LIMIT_BYTES = 64 << 10
METADATA_KEY_LIMIT_BYTES = 1024


def checked_metadata_key(text: str) -> str:
    """Raises InvalidInput."""
    return checked_text(text, "a metadata key", METADATA_KEY_LIMIT_BYTES)


def check_metadata_value(value: JSON) -> None:
    """Raises TooLarge."""
    if len(json.dumps(value, ensure_ascii=False).encode()) > METADATA_VALUE_LIMIT_BYTES:
        raise TooLarge("a metadata value", METADATA_VALUE_LIMIT_BYTES)
