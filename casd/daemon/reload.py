"""What SIGHUP changes while requests are served: limits, what the log tells, and the TLS certificate.

A new configuration is taken as a whole or not at all. What only a start can change is named in the log.
"""

import asyncio
import dataclasses
import logging
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from casd import logs
from casd.config import Config
from casd.daemon.tls import Certificate, loaded
from casd.errors import CasdError
from casd.fair import Bounds
from casd.uploads import Uploads
from casd.web.keys import Limits
from casd.web.traffic import ConnectionLimits, Traffic
from casd.web.transmit import Transmitter
from casd.web.waiting import Pace

log = logging.getLogger(__name__)

CHANGEABLE = {"log": ("level", "slow_request_s"), "server": ("tls_certificate", "tls_key")}  # and all of [limits]


@dataclass(frozen=True, slots=True)
class Changeable:
    """The parts of a running daemon that read their limits anew each time."""

    traffic: Traffic
    limits: Limits
    uploads: Uploads
    transmitter: Transmitter
    certificate: Certificate | None

    def apply(self, config: Config, context: ssl.SSLContext | None) -> None:
        self.traffic.limits = connection_limits(config)
        fresh = body_limits(config)
        for field in dataclasses.fields(fresh):
            setattr(self.limits, field.name, getattr(fresh, field.name))
        self.uploads.limit_per_token = config.limits.max_uploads_per_token
        self.transmitter.idle_timeout_s = config.limits.send_idle_timeout_s
        self.transmitter.pace = pace_of(config)
        logs.set_level(config.log.level)
        if self.certificate is not None and context is not None:
            self.certificate.replace(context)


async def reloaded(load: Callable[[], Config], config: Config, changeable: Changeable) -> Config:
    """The configuration in force afterwards: that of `load` as far as it can change now, or `config`, if it is bad."""
    try:
        new, context = await asyncio.to_thread(read, load)
    except CasdError as error:
        log.error("reload refused, everything stays as it was reason=%s", error)
        return config
    merged = merge(config, new)
    changeable.apply(merged, context)
    for key in differences(merged, new):
        log.warning("this setting changes with a restart only key=%s", key)
    log.info("reloaded changed=%s", ",".join(differences(config, merged)) or "nothing")
    return merged


def read(load: Callable[[], Config]) -> tuple[Config, ssl.SSLContext | None]:
    config = load()
    server = config.server
    return config, loaded(server.tls_certificate, server.tls_key) if server.tls_certificate is not None else None


def merge(old: Config, new: Config) -> Config:
    """The old one with what may change of the new. TLS is neither begun nor ended by a reload."""
    values = {"limits": new.limits}
    for section, keys in CHANGEABLE.items():
        is_fixed = section == "server" and None in (old.server.tls_certificate, new.server.tls_certificate)
        fresh = {} if is_fixed else {key: getattr(getattr(new, section), key) for key in keys}
        values[section] = getattr(old, section).model_copy(update=fresh)
    return old.model_copy(update=values)


def differences(old: Config, new: Config) -> Iterator[str]:
    """The keys that are not the same, as `section.key`."""
    for section in type(old).model_fields:
        before, after = getattr(old, section), getattr(new, section)
        for key in type(before).model_fields:
            if getattr(before, key) != getattr(after, key):
                yield f"{section}.{key}"


# -- limits, as the parts want them ---------------------------------------------------------------------------------


def connection_limits(config: Config) -> ConnectionLimits:
    limits = config.limits
    return ConnectionLimits(
        limits.head_timeout_s,
        limits.send_idle_timeout_s,
        limits.max_connections,
        limits.max_connections_per_address,
        limits.drain_timeout_s,
        config.log.slow_request_s,
        pace_of(config),
        Bounds(limits.max_requests, limits.max_waiting, limits.max_wait_s),
        Bounds(limits.max_transfers, limits.max_waiting, limits.max_wait_s),
        limits.requests_per_s,
        limits.requests_burst,
    )


def pace_of(config: Config) -> Pace:
    return Pace(config.limits.min_bytes_per_s, config.limits.min_rate_window_s)


def body_limits(config: Config) -> Limits:
    return Limits(config.limits.max_body_bytes, config.limits.body_idle_timeout_s, config.auth.signed_url_max_s)
