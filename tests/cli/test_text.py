"""What commands print for people."""

import string

import pytest

from casd.cli.browse import checksum
from casd.cli.get import safe_filename
from casd.cli.text import human_size, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("images/debian 12", "images/debian 12"),
        ("grün/日本", "grün/日本"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\nb\rc", "a\\nb\\rc"),
        ("csi \x9b1m", "csi \\x9b1m"),
        ("exe.\u202egnp", "exe.\\u202egnp"),
        ("lone \udcff", "lone \\udcff"),
    ],
)
def test_a_terminal_is_shown_and_never_told(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (102_300, "99.9 KiB"),
        (1_048_575, "1.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (1 << 62, "4096 PiB"),
    ],
)
def test_sizes_are_short(size: int, shown: str) -> None:
    assert human_size(size) == shown


@pytest.mark.parametrize(
    ("suggested", "made"),
    [
        ("disk.img", "disk.img"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\autoexec.bat", "autoexec.bat"),
        ("/etc/", ""),
        ("..", ""),
        (".bashrc", "bashrc"),
        ("a\x00b\x1b.txt", "ab.txt"),
        ("ü" * 300, "ü" * 100),
    ],
)
def test_a_suggested_filename_is_never_a_path(suggested: str, made: str) -> None:
    assert safe_filename(suggested) == made


@pytest.mark.parametrize(
    ("prefix", "algorithm", "digits"),
    [
        ("", "sha512", 128),
        ("sha512:", "sha512", 128),
        ("sha-512:", "sha512", 128),
        ("", "sha256", 64),
        ("sha256:", "sha256", 64),
        ("", "xxh3-128", 32),
        ("xxh3-128:", "xxh3-128", 32),
        ("xxh3_128:", "xxh3-128", 32),
    ],
)
def test_a_checksum_tells_its_algorithm(prefix: str, algorithm: str, digits: int) -> None:
    text = (string.hexdigits * 6)[:digits]

    assert checksum(prefix + text) == (algorithm, text.lower())


@pytest.mark.parametrize(
    "text", ["", "abc", "0" * 40, "sha256:" + "0" * 32, "md5:" + "0" * 32, "g" * 64, "\u0661" * 64]
)
def test_other_text_is_no_checksum(text: str) -> None:
    assert checksum(text) is None
