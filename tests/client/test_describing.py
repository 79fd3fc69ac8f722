"""What a file's own name says about it."""

import os

import pytest

from casd.client import guessed_type, own_filename


@pytest.mark.parametrize(
    ("filename", "media_type"),
    [
        ("a.txt", "text/plain"),
        ("a.tar.gz", "application/gzip"),
        ("a.json.xz", "application/x-xz"),
        ("no-ending", "application/octet-stream"),
        ("data:text/html,x", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_a_type_is_that_of_the_bytes_as_they_are(filename: str, media_type: str) -> None:
    assert guessed_type(filename) == media_type


@pytest.mark.parametrize(
    ("path", "remembered"),
    [
        ("folder/a.txt", "a.txt"),
        (os.fsdecode(b"odd\n\x1b[31m \xff.txt"), "odd__[31m \ufffd.txt"),
        ("folder/", None),
    ],
)
def test_a_filename_is_remembered_as_far_as_it_can_be_told(path: str, remembered: str | None) -> None:
    assert own_filename(path) == remembered
