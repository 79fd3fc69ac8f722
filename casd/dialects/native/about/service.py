"""The daemon itself."""

import casd.dialects.native.models as models
import casd.dialects.native.standing as standing
from casd import errors
from casd.web.fields import TEXT, TIME
from casd.web.operation import Answer, Operation, Parameter
from casd.web.refusals import ADMINS

TAG = "Daemon"

ROOT = Operation(
    "root",
    TAG,
    "Say what this is",
    (
        Answer(
            200,
            "A few lines, and the words that clients of other products look for; the console where HTML is asked for.",
            media=("text/plain", "text/html"),
        ),
        Answer(304, "You have the console already.", headers=("ETag", "Cache-Control")),
    ),
)
HEALTHZ = Operation("healthz", TAG, "Is the daemon alive?", (Answer(200, "It is.", models.Health),))
READYZ = Operation(
    "readyz",
    TAG,
    "Can the daemon store?",
    (
        Answer(200, "It can.", models.Ready),
        Answer(
            503,
            "It cannot: a full or failing disk, a catalogue that does not answer, or its end.",
            models.NotReady,
        ),
    ),
)
STATUS = Operation(
    "getStatus",
    TAG,
    "See how the daemon stands",
    (Answer(200, "Totals, queues, last runs.", standing.Status),),
    "For admins.",
    errors=ADMINS,
)
OPENAPI = Operation(
    "getOpenapi",
    TAG,
    "Read this document",
    (
        Answer(200, "OpenAPI 3.1.", models.OpenApi, headers=("ETag", "Cache-Control")),
        Answer(304, "You have it already.", headers=("ETag", "Cache-Control")),
    ),
)
DOCS = Operation(
    "docs",
    TAG,
    "Read the API as a page",
    (
        Answer(200, "For people.", media=("text/html",), headers=("ETag", "Cache-Control")),
        Answer(304, "You have it already.", headers=("ETag", "Cache-Control")),
    ),
    query=(Parameter("q", "Only what has these words.", TEXT, example="resume"),),
)
GUIDE = Operation(
    "guide",
    TAG,
    "Read a help topic as a page",
    (
        Answer(200, "For people.", media=("text/html", "text/css"), headers=("ETag", "Cache-Control")),
        Answer(304, "You have it already.", headers=("ETag", "Cache-Control")),
    ),
    "The texts of `casd help TOPIC`.",
    errors=(errors.NotFound,),
)
SAMPLES = Operation(
    "listSamples",
    TAG,
    "See how the last day went",
    (Answer(200, "Numbers by the minute.", standing.Samples),),
    "They are kept in memory: a restart forgets them. For admins.",
    query=(Parameter("since", "Only what is newer than this time, RFC 3339.", TIME),),
    errors=ADMINS,
)
METRICS = Operation(
    "getMetrics",
    TAG,
    "Read the numbers that Prometheus collects",
    (
        Answer(
            200,
            "Prometheus' text format, or OpenMetrics where Accept asks for it.",
            media=("text/plain", "application/openmetrics-text"),
        ),
    ),
    "For any token, and without one for programs on the daemon's machine.",
)
