"""What is in a payload, shown without running any of it: pictures, films that seek by range, text, tables, bytes."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.console.browser import Tab
from tests.tools.shop import tool
from tests.web.party import Party

SECONDS = 20


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Its index stands at its end, behind noise that does not compress: whoever plays it goes there by range."""
    file = tmp_path_factory.mktemp("film") / "film.mp4"
    source = f"nullsrc=size=320x240:rate=5:duration={SECONDS},geq=random(1)*255:128:128"
    coded = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", "-g", "5", "-pix_fmt", "yuv420p"]
    subprocess.run([tool("ffmpeg"), "-v", "error", "-f", "lavfi", "-i", source, *coded, file], check=True)
    return file.read_bytes()


def show(tab: Tab, us: Party, data: bytes, content_type: str, filename: str = "it") -> None:
    uuid = us.add(data, f"?filename={filename}", Content_Type=content_type)["uuid"]
    tab.open(f"#/blob/{uuid}")


def test_a_video_is_played_and_seeks_by_range(writer: Tab, us: Party, film: bytes) -> None:
    show(writer, us, film, "video/mp4")
    writer.css("video").wait()
    writer.until("document.querySelector('video').readyState >= 1")

    assert writer.run("Math.round(document.querySelector('video').duration)") == SECONDS
    writer.run("document.querySelector('video').currentTime = 15")
    writer.until("!document.querySelector('video').seeking && document.querySelector('video').readyState >= 2")

    assert writer.run("Math.round(document.querySelector('video').currentTime)") == 15
    asked = [request for request in writer.requests() if "/data?" in request["url"]]
    assert any(not request["headers"]["range"].startswith("bytes=0-") for request in asked)
    assert all("authorization" not in request["headers"] for request in asked)


def test_a_picture_is_shown(writer: Tab, us: Party) -> None:
    picture = subprocess.run(
        [tool("ffmpeg"), "-v", "error", "-f", "lavfi", "-i", "testsrc=size=64x48", "-frames:v", "1", "-f", "apng", "-"],
        check=True,
        capture_output=True,
    ).stdout
    show(writer, us, picture, "image/png")
    writer.css(".preview img").wait()

    writer.until("document.querySelector('.preview img').naturalWidth === 64")


def test_sound_is_played(writer: Tab, us: Party, tmp_path: Path) -> None:
    tone = ["-f", "lavfi", "-i", "sine=duration=3", "-f", "wav", "-"]
    sound = subprocess.run([tool("ffmpeg"), "-v", "error", *tone], check=True, capture_output=True).stdout
    show(writer, us, sound, "audio/wav")
    writer.css("audio").wait()

    writer.until("Math.round(document.querySelector('audio').duration) === 3")


@pytest.mark.parametrize("filename", ["notes.txt", "notes"])
def test_text_is_shown_from_its_head(writer: Tab, us: Party, filename: str) -> None:
    text = "".join(f"line {number} ä\n" for number in range(20_000))
    show(writer, us, text.encode(), "text/plain; charset=utf-8", filename)

    shown = writer.css(".preview pre").told()

    assert text.startswith(shown.rstrip("\n"))
    assert len(shown.encode()) <= 64 << 10
    assert "The first 64.0 KiB of" in writer.css(".preview .hint").told()
    (asked,) = [request for request in writer.requests() if request["url"].endswith("/data")]
    assert asked["headers"]["range"] == "bytes=0-65535"


def test_json_is_laid_out(writer: Tab, us: Party) -> None:
    show(writer, us, b'{"a":[1,{"b":null}]}', "application/json")

    assert writer.css(".preview pre").told() == json.dumps({"a": [1, {"b": None}]}, indent=2)


def test_what_only_says_that_it_is_json_is_shown_as_it_is(writer: Tab, us: Party) -> None:
    show(writer, us, b"{not json", "application/json")

    assert writer.css(".preview pre").told() == "{not json"


def test_the_head_of_a_csv_is_a_table(writer: Tab, us: Party) -> None:
    rows = "".join(f'{number},"a ""quoted"", name",{number * 2}\r\n' for number in range(10_000))
    show(writer, us, f"id,name,twice\r\n{rows}".encode(), "text/csv")

    assert writer.css(".preview th").texts() == ["id", "name", "twice"]
    assert writer.css(".preview tbody tr").count() == 50
    assert writer.css(".preview tbody tr").first.css("td").texts() == ["0", 'a "quoted", name', "0"]


def test_a_table_is_known_by_its_filename_where_the_type_says_nothing(writer: Tab, us: Party) -> None:
    show(writer, us, b"a;b\n1;2\n", "application/octet-stream", "table.csv")

    assert writer.css(".preview td").texts() == ["1", "2"]


def test_other_bytes_are_shown_in_hex(writer: Tab, us: Party) -> None:
    show(writer, us, bytes(range(64)), "application/octet-stream")

    assert "000010  10 11 12" in writer.css(".preview pre").told()


def test_an_empty_payload_is_said_to_be_empty(writer: Tab, us: Party) -> None:
    show(writer, us, b"", "video/mp4")

    assert "no bytes at all" in writer.css(".preview").told()
