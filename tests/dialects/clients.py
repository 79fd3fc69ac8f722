"""What is installed for each real client: the lists of `pip install`, one after the other.

Who asks for the same list shares the environment that `client_environment` makes of it.
"""

from pathlib import Path

HERE = Path(__file__).parent
CRAFT_AI = ("0.15.0", "0.19.0", "0.46.2", "0.53.0", "0.55.2", "0.66.1", "0.74.7")
DATAPANE = ("0.8.6", "0.12.1")
# Wheels only, but for what has none for this Python.
OLD_DATAPANE_OPTIONS = ["--only-binary=:all:", "--no-binary=bokeh,stringcase,MarkupSafe,folium,mistune"]

DEEP_LAKE = "requests", ["requests==2.34.2", "pillow"]


def craft_ai(version: str) -> tuple[str, list[str]]:
    return f"craft-ai-sdk-{version}", [f"craft-ai-sdk=={version}"]


def datapane(release: str) -> tuple[str, list[str], list[str]]:
    pins = (HERE / "datapane" / f"datapane-{release}.txt").read_text().splitlines()
    packages = [line for line in pins if line and not line.startswith("#")]
    options = OLD_DATAPANE_OPTIONS if release == "0.8.6" else []
    return f"datapane-{release}", ["--no-deps", f"datapane=={release}"], [*options, *packages]
