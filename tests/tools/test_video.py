"""A video is played where it is: ffprobe, ffmpeg and Chromium seek in it by HTTP range."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web

from tests.conftest import Daemon
from tests.proxy import Fault, Proxy
from tests.tools.shop import PATIENCE_S, Shop, ran, tool

WIDTH, HEIGHT, RATE, SECONDS = 320, 240, 10, 12
# Of each second, the upper half of the picture; the lower half is noise, which makes the file large.
COLOURS = [(red, green, blue) for red in (40, 200) for green in (40, 120, 200) for blue in (40, 200)]


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its index stands at its end, so that whoever plays it has to look there first."""
    file = tmp_path_factory.mktemp("film") / "film.mp4"
    half = WIDTH * HEIGHT // 2
    frames = b"".join(bytes(COLOURS[at // RATE]) * half + os.urandom(3 * half) for at in range(RATE * SECONDS))
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(RATE), "-i", "-"]
    coded = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "20", "-g", str(RATE), "-pix_fmt", "yuv420p"]
    subprocess.run([tool("ffmpeg"), "-v", "error", *raw, *coded, file], input=frames, check=True)
    return file


@pytest.fixture(scope="module")
def shop(one_daemon: Daemon, film: Path) -> Shop:
    return Shop(one_daemon, film.read_bytes(), "video/mp4")


PAGE = """<!doctype html>
<script>
const parameters = new URLSearchParams(location.search)
const video = document.createElement("video")
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true })
const happened = (event) => new Promise((resolve, reject) => {
  video.addEventListener(event, resolve, { once: true })
  video.addEventListener("error", () => reject(new Error(video.error.message)), { once: true })
})

async function colourAt(second) {
  const seeked = happened("seeked")
  video.currentTime = second
  await seeked
  canvas.drawImage(video, 0, 0)
  return [...canvas.getImageData(160, 60, 1, 1).data.slice(0, 3)]
}

async function watch() {
  video.muted = true
  video.preload = "auto"
  const loaded = happened("loadeddata")
  video.src = parameters.get("film")
  await loaded
  const colours = []
  for (const second of JSON.parse(parameters.get("seconds"))) colours.push(await colourAt(second))
  const ended = happened("ended")
  await video.play()
  await ended
  return { duration: video.duration, colours, stoppedAt: video.currentTime }
}

watch().catch((error) => ({ error: String(error) }))
  .then((told) => fetch("/told", { method: "POST", body: JSON.stringify(told) }))
</script>
"""


class Cinema:
    """A page on a server of its own, and what its script tells."""

    def __init__(self) -> None:
        self.told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.url = ""

    async def page(self, _: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def tell(self, request: web.Request) -> web.Response:
        self.told.set_result(await request.json())
        return web.Response()


@asynccontextmanager
async def cinema() -> AsyncIterator[Cinema]:
    found = Cinema()
    app = web.Application()
    app.add_routes([web.get("/", found.page), web.post("/told", found.tell)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = "http://{}:{}/".format(*runner.addresses[0])
    try:
        yield found
    finally:
        await runner.cleanup()


# As root it wants no sandbox. Without web security a script may look at pictures of another origin: the test does.
CHROMIUM = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
CHROMIUM += ("--disable-background-networking", "--disable-component-update", "--disable-web-security")


async def watched(film: str, seconds: list[float], profile: Path) -> Any:
    """What Chromium saw at those times, and where it stopped after playing on from the last."""
    async with cinema() as page:
        query = urlencode({"film": film, "seconds": json.dumps(seconds)})
        process = await asyncio.create_subprocess_exec(
            *(tool("chromium"), *CHROMIUM, f"--user-data-dir={profile}", f"{page.url}?{query}"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            return await asyncio.wait_for(page.told, PATIENCE_S)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


FAULTS = [Fault("throttle", 200_000, rate=2 << 20), Fault("cut", 700_000), Fault("reset", 700_000)]
EACH_FAULT = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)


@EACH_FAULT
async def test_chromium_seeks_back_and_forth_and_plays_to_the_end(shop: Shop, tmp_path: Path, fault: Fault) -> None:
    path = shop.name if fault.kind == "cut" else shop.blob
    seconds = [9.5, 2.5, 6.5, 10.5]

    async with Proxy(shop.daemon.url, then=fault) as proxy:
        told = await watched(proxy.url + shop.signed(path), seconds, tmp_path / "profile")

    assert "error" not in told
    assert (told["duration"], told["stoppedAt"]) == (SECONDS, SECONDS)
    for second, colour in zip(seconds, told["colours"], strict=True):
        assert colour == pytest.approx(COLOURS[int(second)], abs=12)  # what coding does to a colour
    assert len(proxy.ranges) >= 4


RECONNECT = ("-reconnect", "1", "-reconnect_on_network_error", "1", "-rw_timeout", "2000000")


@EACH_FAULT
async def test_ffprobe_finds_a_frame(shop: Shop, film: Path, fault: Fault) -> None:
    options = ("-v", "error", "-select_streams", "v", "-show_entries", "frame=pts_time,pkt_pos,pkt_size", "-of", "csv")
    ask = (tool("ffprobe"), *options, "-read_intervals", "7%+#1")
    async with Proxy(shop.daemon.url, then=fault) as proxy:
        found = await ran(*ask, proxy.url + shop.signed(shop.name))

    assert found == await ran(*ask, film)
    assert len(proxy.ranges) >= 3


@EACH_FAULT
async def test_ffmpeg_takes_a_picture_from_the_middle(shop: Shop, film: Path, fault: Fault) -> None:
    ffmpeg, picture = (tool("ffmpeg"), "-v", "fatal"), ("-frames:v", "1", "-f", "md5", "-")
    async with Proxy(shop.daemon.url, then=fault) as proxy:
        url = proxy.url + shop.signed(shop.blob)
        found = await ran(*ffmpeg, *RECONNECT, "-ss", "9.5", "-i", url, *picture)

    assert found == await ran(*ffmpeg, "-ss", "9.5", "-i", film, *picture)
    assert len(proxy.ranges) >= 3


@pytest.mark.parametrize("kind", ["cut", "reset", "stall"])
async def test_ffmpeg_reads_all_though_each_connection_breaks(shop: Shop, film: Path, kind: Any) -> None:
    ffmpeg, everything = (tool("ffmpeg"), "-v", "fatal"), ("-c", "copy", "-f", "md5", "-")
    async with Proxy(shop.daemon.url, *[Fault(kind, 1_500_000)] * 6) as proxy:
        found = await ran(*ffmpeg, *RECONNECT, "-i", proxy.url + shop.signed(shop.blob), *everything)

    assert found == await ran(*ffmpeg, "-i", film, *everything)
    assert len(proxy.ranges) >= 5
