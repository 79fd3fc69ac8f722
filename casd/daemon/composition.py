"""The composition root: configuration → stores → application → background work. Concrete backends are named here
alone; whoever wants to know how casd is put together reads this file from top to bottom.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from casd import folder
from casd.admin_token import AdminToken, given_file
from casd.catalogue.sqlite import SqliteCatalogue
from casd.config import Config, SourceKind
from casd.console import CONSOLE
from casd.daemon.data_folder import announced, ensure_signing_key, write_secret
from casd.daemon.descriptors import OWN_DESCRIPTORS, affordable_connections, without_traceback
from casd.daemon.listening import bound_listeners, listening
from casd.daemon.reload import Changeable, body_limits, connection_limits, pace_of
from casd.daemon.systemd import Passed
from casd.daemon.timers import cancel, keep_up, keep_whole
from casd.daemon.tls import Certificate
from casd.dialects.craftai import CRAFTAI
from casd.dialects.datapane import DATAPANE
from casd.dialects.deeplake import DEEPLAKE
from casd.dialects.native import NATIVE
from casd.dialects.shakenfist import SHAKENFIST
from casd.dialects.shakenfist.fetching import FETCHES
from casd.dialects.tus import TUS
from casd.expiry import Rules
from casd.locks import DigestLocks
from casd.payloads.local import LocalPayloads
from casd.payloads.survey import holds_payloads
from casd.repair import Repair
from casd.scrub import Pace, Rounds, ScrubRules
from casd.store import BlobStore
from casd.trail import Trail
from casd.upkeep import Upkeep
from casd.uploads import Uploads
from casd.uuids import new_uuid
from casd.vitals import Vitals
from casd.web.application import Services, build
from casd.web.metrics import METRICS
from casd.web.origin import Origins
from casd.web.sources import HttpSource
from casd.web.traffic import Traffic
from casd.web.transmit import Transmitter

SHORT_LIVED = timedelta(hours=2)  # what dialects sign for their clients lives an hour at most
DIALECTS = (NATIVE, TUS, CONSOLE, DEEPLAKE, DATAPANE, CRAFTAI, SHAKENFIST)


@dataclass(frozen=True, slots=True)
class Running:
    """What can be asked of a daemon that serves."""

    urls: tuple[str, ...]  # of its listeners; the first is for clients of this machine
    traffic: Traffic
    vitals: Vitals
    changeable: Changeable


@contextlib.asynccontextmanager
async def running(config: Config, descriptors: int = 1024, passed: Sequence[Passed] = ()) -> AsyncIterator[Running]:
    """A daemon that serves, on sockets that systemd `passed` or on its own; it may open that many `descriptors`.

    The caller holds the folder's lock.
    """
    data = config.storage.data
    without_traceback(asyncio.get_running_loop())
    async with contextlib.AsyncExitStack() as stack:
        listeners = stack.enter_context(bound_listeners(config, passed))
        certificate = Certificate.of(config.server)
        payloads = await LocalPayloads.create(data, config.storage.reserve_bytes)
        stack.push_async_callback(payloads.close)
        keep_audit = timedelta(days=config.audit.keep_days)
        catalogue = await SqliteCatalogue.open(
            data / folder.CATALOGUE,
            new_uuid,
            payloads_exist=holds_payloads(data),
            now=utc_now,
            is_audited=bool(keep_audit),
        )
        stack.push_async_callback(catalogue.close)
        locks = DigestLocks()
        grace = timedelta(seconds=config.upkeep.grace_s)
        store = BlobStore(
            payloads,
            catalogue,
            locks,
            now=utc_now,
            new_uuid=new_uuid,
            grace=grace,
            share_by_uuid=config.auth.share_by_uuid,
            verify_reads=config.storage.verify_reads,
            recheck=timedelta(days=config.storage.recheck_days),
        )
        stack.push_async_callback(store.close)
        uploads = Uploads(
            store,
            lifetime=timedelta(days=config.upkeep.upload_days),
            limit_per_token=config.limits.max_uploads_per_token,
            limit_resting=max(1, (descriptors - OWN_DESCRIPTORS) // 4),
        )
        await uploads.start()
        stack.push_async_callback(uploads.close)
        admin_token = AdminToken(store, data, given_file(config.auth.admin_token_file, os.environ), write_secret)
        await admin_token.ensure()
        stack.push_async_callback(cancel, asyncio.create_task(admin_token.follow()))
        await ensure_signing_key(store)
        rules = Rules(
            grace,
            timedelta(days=config.upkeep.hidden_days),
            timedelta(days=config.upkeep.token_days),
            keep_audit,
            max(timedelta(seconds=config.auth.signed_url_max_s), SHORT_LIVED),
        )
        origins = Origins(config.server.public_url, config.server.trusted_proxies)
        traffic = Traffic(connection_limits(config), origins, affordable_connections(descriptors))
        repairs = Repair(store, sources_of(config))
        pace = Pace(
            config.upkeep.scrub_bytes_per_s,
            lambda: len(traffic.busy) > upkeep.scrubs_awaited,  # whoever waits for a scrub is no reason to delay it
            asyncio.get_running_loop().time,
        )
        scrub_rules = ScrubRules(
            timedelta(days=config.upkeep.scrub_days), timedelta(days=config.upkeep.deep_scrub_days)
        )
        rounds = Rounds(payloads, catalogue, store.judge, pace, scrub_rules, utc_now)
        upkeep = Upkeep(payloads, catalogue, locks, uploads, rules, utc_now, rounds, repairs)
        stack.push_async_callback(upkeep.close)
        for timer in (keep_up, keep_whole):
            stack.push_async_callback(cancel, asyncio.create_task(timer(upkeep, config)))
        transmitter = Transmitter(config.limits.send_idle_timeout_s, pace_of(config))
        stack.push_async_callback(transmitter.close)
        limits = body_limits(config)
        trail = Trail(catalogue, utc_now, is_kept=bool(keep_audit), tells_reads=config.audit.reads)
        stack.push_async_callback(trail.close)
        stack.push_async_callback(cancel, asyncio.create_task(trail.run()))
        vitals = Vitals(payloads, catalogue)
        stack.push_async_callback(vitals.close)
        services = Services(store, uploads, upkeep, transmitter, origins, limits, trail, vitals, admin_token)
        app = build(DIALECTS, services, traffic)
        for work in (app[METRICS].keep_sampling(), app[METRICS].keep_feeling_lag()):
            stack.push_async_callback(cancel, asyncio.create_task(work))
        app[FETCHES].hosts = config.shakenfist.cache_hosts
        await stack.enter_async_context(listening(app, traffic, listeners, certificate))
        urls = tuple(listener.url for listener in listeners)
        stack.enter_context(announced(data, urls[0]))
        yield Running(urls, traffic, vitals, Changeable(traffic, limits, uploads, transmitter, certificate))


def sources_of(config: Config) -> list[HttpSource]:
    """Where damaged payloads are fetched from."""
    timeout_s = config.repair.idle_timeout_s
    return [
        HttpSource(source.url, source.token_file, timeout_s, is_casd=source.kind is SourceKind.CASD)
        for source in config.repair.sources
    ]


def utc_now() -> datetime:
    return datetime.now(UTC)
