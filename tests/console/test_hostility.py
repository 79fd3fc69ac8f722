"""Names, contents and metadata that want to be more than text. Nothing of them runs, and none leaves its place."""

from urllib.parse import quote

import pytest

from tests.console.browser import Tab
from tests.web.party import Party

NAMES = [
    "<img src=x onerror=alert(1)>",
    "\"><script>window.hacked = 1</script>'",
    "javascript:alert(1)",
    "‮gnp.exe",
    "a%2Fb%00%zz",
    "#/blob/nothing?version=1&x=+y;z",
    "…/.hidden/~/C:\\x",
    "👩‍👩‍👧 ünï 名 e̶̡̛",
    "long" * 250,
    "constructor",
    "__proto__",
]
EVIL = "window.hacked = 1; top.hacked = 1; parent.hacked = 1; alert(1); fetch('https://evil.invalid/')"
HTML = (
    f"<!doctype html><script>{EVIL}</script><img src=x onerror='{EVIL}'><iframe src='https://evil.invalid/'></iframe>"
)
SVG = (
    "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink' width='40' height='40'"
    f' onload="{EVIL}"><script>{EVIL}</script><image xlink:href="https://evil.invalid/a.png" width="9" height="9"/>'
    "<foreignObject width='40' height='40'><iframe xmlns='http://www.w3.org/1999/xhtml'"
    " src='https://evil.invalid/'/></foreignObject><rect width='40' height='40' fill='red'/></svg>"
)


def check_harmless(tab: Tab) -> None:
    """Beside what every test ends with: no dialog, no complaint, no foreign request."""
    assert tab.run("'hacked' in window") is False
    assert tab.css("main script, main iframe, main object, main embed, main link, main style").count() == 0


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:12]))
def test_a_hostile_name_is_only_a_name(writer: Tab, us: Party, name: str) -> None:
    us.publish(f"deep/{name}", b"harmless")
    last = name.rpartition("/")[2]

    writer.open(f"#/ns/{us.namespace}/deep/{quote(name[: len(name) - len(last)])}")
    writer.label("Names here that begin with").wait()
    link = writer.css("main [data-row]")
    assert link.do("textContent") == last
    link.click()
    writer.css(".preview").wait()

    assert writer.css("h1").do("textContent") == last
    check_harmless(writer)
    assert writer.run("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("text/html", HTML),
        ("text/html; charset=utf-16", HTML),
        ("application/xhtml+xml", HTML),
        ("image/svg+xml", SVG),
        ("image/png", HTML),
        ("video/mp4", HTML),
        ("text/csv", f"{HTML},b\n<script>{EVIL}</script>,=1+1\n"),
        ("application/json", '{"__proto__": {"hacked": 1}, "<script>": "</pre><script>alert(1)</script>"}'),
        ("application/pdf", "%PDF-1.7 " + HTML),
        ("text/javascript", EVIL),
    ],
)
def test_hostile_content_does_not_run(writer: Tab, us: Party, content_type: str, content: str) -> None:
    uuid = us.add(content.encode(), f"?filename={quote(NAMES[0])}", Content_Type=content_type)["uuid"]

    writer.open(f"#/blob/{uuid}")
    writer.css(".preview .loading").wait("detached")
    writer.css(".preview > *").first.wait("attached")

    check_harmless(writer)


def test_a_hostile_svg_is_a_picture_and_its_source_is_text(writer: Tab, us: Party) -> None:
    uuid = us.add(SVG.encode(), Content_Type="image/svg+xml")["uuid"]

    writer.open(f"#/blob/{uuid}")
    writer.css(".preview img").wait()
    writer.until("document.querySelector('.preview img').complete")
    writer.text("Source").click()

    assert writer.css(".preview pre").told() == SVG
    check_harmless(writer)


def test_hostile_metadata_is_only_text(writer: Tab, us: Party) -> None:
    uuid = us.add(b"m")["uuid"]
    for key in ("<b onclick=alert(1)>", "__proto__"):
        us.writer.ask("PUT", f"/v1/blobs/{uuid}/metadata/{quote(key, safe='')}", {"value": {"x": HTML}})

    writer.open(f"#/blob/{uuid}")

    assert sorted(writer.css(".metadata dt").texts()) == ["<b onclick=alert(1)>", "__proto__"]
    check_harmless(writer)


def test_a_dropped_file_with_a_hostile_name_is_uploaded_under_a_name_that_can_be(writer: Tab, us: Party) -> None:
    writer.drop("<img src=x onerror=alert(1)>\n.txt", HTML, "text/html")

    writer.css(".item").role("button", "Upload").click()
    writer.css(".item .badge", "stored").wait()
    writer.css(".item .state a").click()
    writer.css(".preview pre").wait()

    assert us.writer.ask("GET", us.name("<img src=x onerror=alert(1)>_.txt")).body == HTML.encode()
    check_harmless(writer)


def test_an_address_that_somebody_else_made_runs_nothing(writer: Tab) -> None:
    writer.expected += ["404 (Not Found)", "400 (Bad Request)"]
    for hash in ("#javascript:alert(1)", "#/find/<script>alert(1)</script>", "#/ns/<b>/%zz", "#/blob/%00"):
        writer.open(hash)
        check_harmless(writer)
