"""The parts of a server, opened and closed: stores, keys, clock, trust."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Self

from token_service.adapters.crypto.access_tokens import AccessTokenFactory
from token_service.adapters.crypto.argon2id import Argon2Cost
from token_service.adapters.crypto.client_secrets import PepperedSecrets
from token_service.adapters.crypto.codes import PepperedCodes
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.crypto.keyring import Keyring
from token_service.adapters.crypto.mint import Mint
from token_service.adapters.crypto.pairing import PepperedPairingSecrets
from token_service.adapters.crypto.passwords import Argon2Passwords
from token_service.adapters.postgres.clients.store import ClientStore
from token_service.adapters.postgres.codes.store import CodeStore
from token_service.adapters.postgres.durability import Durability
from token_service.adapters.postgres.failures import cause_of
from token_service.adapters.postgres.keys.store import KeyStore
from token_service.adapters.postgres.login.attempts import Attempts
from token_service.adapters.postgres.pairing.store import PairingStore
from token_service.adapters.postgres.pairing.wakeups import PairingWakeups
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.removal import Removal
from token_service.adapters.postgres.schema import Schema
from token_service.adapters.postgres.sessions.store import SessionStore
from token_service.adapters.postgres.trust import log as trust_log
from token_service.adapters.postgres.trust.follower import TrustFollower
from token_service.adapters.postgres.trust.revocations import RevocationStore
from token_service.adapters.postgres.users.store import UserStore
from token_service.adapters.system import AnchoredSystemClock, SystemRandomness
from token_service.app.database import (
    direct_source,
    main_source,
    open_database,
    require_direct,
    require_usable,
)
from token_service.app.errors import StartupError
from token_service.app.redis_parts import RedisParts, redis_parts
from token_service.config import Settings
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.keys.schedule import KeyScheduleSettings
from token_service.domain.kinds import KeyPurpose
from token_service.domain.trust.reading import TrustReading
from token_service.usecases.clients.cache import ClientCache
from token_service.usecases.keys.maintenance import KeyMaintenance
from token_service.usecases.shielding import Shield
from token_service.usecases.tokens.activity import ActivityRecorder
from token_service.usecases.tokens.identity_cache import IdentityCache
from token_service.usecases.trust.clock_watch import ClockWatch
from token_service.usecases.trust.feed import Refresh, TrustFeed
from token_service.usecases.trust.replication import ReplicationWatch

POLL_SECONDS = 1.0
"""How often the trust log is read where nobody says that it changed; more often where the staleness
limit is so short that the view would be too old between two readings."""

REMOVAL_GRACE = timedelta(minutes=1)
"""How long a session stays after its end: whoever was let in by it in its last moment has committed
by then, and keeps its row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything a use case can be given, for one process."""

    settings: Settings
    clock: AnchoredSystemClock
    random: SystemRandomness
    shield: Shield
    database: Database
    validate_database: Database
    schema: Schema
    redis: RedisParts
    keyring: Keyring
    mint: Mint
    tokens: AccessTokenFactory
    secrets: PepperedSecrets
    hasher: Argon2Passwords
    sessions: SessionStore
    pairings: PairingStore
    pairing_secrets: PepperedPairingSecrets
    pairing_wakeups: PairingWakeups
    revocations: RevocationStore
    clients: ClientStore
    users: UserStore
    keys: KeyStore
    attempts: Attempts
    codes: CodeStore
    code_secrets: PepperedCodes
    durability: Durability
    replication: ReplicationWatch
    trust: TrustFeed
    follower: TrustFollower
    client_cache: ClientCache
    key_schedule: KeyScheduleSettings
    key_maintenance: KeyMaintenance
    activity: ActivityRecorder
    identities: IdentityCache

    @classmethod
    async def open(cls, settings: Settings, clock: AnchoredSystemClock | None = None) -> Self:
        """Connect, check that the database can be trusted, load keys and trust.

        Raises StartupError naming what the operator has to change, and STORE_UNAVAILABLE with the
        cause where PostgreSQL fails in the middle of it.
        """
        source, direct = main_source(settings), direct_source(settings)
        seconds = settings.postgres_timeout.total_seconds()
        connect = partial(open_database, source, call_timeout=seconds, direct=direct)
        database = await connect("main", size=settings.postgres_pool_size)
        try:
            await require_direct(database, direct)
            schema = await require_usable(database, settings)
            validate = await connect("validate", size=settings.postgres_validate_pool_size)
            parts = cls.assemble(
                settings, clock or AnchoredSystemClock(), database, validate, schema
            )
        except BaseException:
            await database.close()
            raise
        try:
            await parts.load()
        except TokenServiceError as error:
            await parts.close()
            if error.reason is not Reason.STORE_UNAVAILABLE:
                raise
            raise TokenServiceError(error.reason, f"{source.setting}: {cause_of(error)}") from error
        except BaseException:
            await parts.close()
            raise
        return parts

    @classmethod
    def assemble(
        cls,
        settings: Settings,
        clock: AnchoredSystemClock,
        database: Database,
        validate_database: Database,
        schema: Schema,
    ) -> Self:
        """The parts on open databases; nothing is read and nothing runs yet."""
        random, shield = SystemRandomness(), Shield()
        secret_keys = SecretKeys.parse(settings.secret_keys.get_secret_value())
        keyring = Keyring(secret_keys, random.bytes)
        sessions = SessionStore(database, kept=REMOVAL_GRACE)
        clients = ClientStore(database)
        keys = KeyStore(database)
        redis = redis_parts(settings, secret_keys, SessionStore(validate_database), clock)
        schedule = key_schedule(settings)
        limit = settings.staleness_limit.total_seconds()
        replication = ReplicationWatch(required=settings.postgres_synchronous == "required")
        trust = TrustFeed(
            clock=clock,
            issuer=settings.issuer,
            staleness_limit=limit,
            may_forget=lambda: clock.anchor.settled,
            proves=replication.proves,
        )
        return cls(
            settings=settings,
            clock=clock,
            random=random,
            shield=shield,
            database=database,
            validate_database=validate_database,
            schema=schema,
            redis=redis,
            keyring=keyring,
            mint=Mint(keyring, settings.issuer),
            tokens=AccessTokenFactory(
                keyring=keyring,
                issuer=settings.issuer,
                default_algorithm=settings.signing_algorithms[0],
            ),
            secrets=PepperedSecrets(keyring),
            hasher=_hasher(settings),
            sessions=sessions,
            pairings=PairingStore(database),
            pairing_secrets=PepperedPairingSecrets(keyring, random.bytes),
            pairing_wakeups=PairingWakeups(database),
            revocations=RevocationStore(database),
            clients=clients,
            users=UserStore(database),
            keys=keys,
            attempts=Attempts(database),
            codes=CodeStore(database),
            code_secrets=PepperedCodes(keyring),
            durability=Durability(database, lambda: replication.sufficient),
            replication=replication,
            trust=trust,
            follower=TrustFollower(
                database,
                trust,
                poll_interval=min(POLL_SECONDS, limit / 3),
                boot=clock.anchor.boot,
            ),
            client_cache=ClientCache(clients),
            key_schedule=schedule,
            key_maintenance=KeyMaintenance(
                store=keys, material=keyring, feed=trust, clock=clock, settings=schedule
            ),
            activity=ActivityRecorder(
                store=sessions,
                marks=redis.marks,
                clock=clock,
                interval=settings.activity_interval.total_seconds(),
            ),
            identities=IdentityCache(),
        )

    async def load(self) -> None:
        """The first reading anchors the clock; keys are made where none exist, then loaded."""
        try:
            self.keyring.load(await self.keys.all())
            self.keyring.require_all()
        except ValueError as error:
            what = str(error).removeprefix("TOKEN_SERVICE_SECRET_KEYS: ")
            raise StartupError(f"TOKEN_SERVICE_SECRET_KEYS: {what}") from error
        self.follow(self.follower.refresh)
        self.follower.start()
        await self._first_reading()
        await self.key_maintenance.ensure(self.clock.now())
        await self.follower.refresh()
        self.pairing_wakeups.start()
        self.redis.start()

    def follow(self, refresh: Refresh) -> None:
        """Have clock, keys, client cache and databases follow the trust log, which `refresh`
        reads."""
        self.trust.follow(
            refresh,
            self.key_maintenance.load,
            self._anchor,
            self._follow_config,
            self._follow_server,
            self.replication,
            ClockWatch(),
        )
        for database in (self.database, self.validate_database):
            database.commits = lambda: not self.follower.late_beat
            database.fencing.follow(
                lambda: self.trust.state.epoch, refresh, lambda: self.trust.state.revision
            )

    async def _first_reading(self) -> None:
        try:
            await self.follower.reading()
        except TokenServiceError as error:
            raise StartupError(
                "TOKEN_SERVICE_POSTGRES_DSN: the trust log cannot be read"
            ) from error

    def _anchor(self, reading: TrustReading) -> None:
        self.clock.anchor.anchor(reading.db_time, reading.sent_boot, reading.received_boot)

    def _follow_config(self, reading: TrustReading) -> None:
        self.client_cache.advance(reading.config_version)

    def _follow_server(self, reading: TrustReading) -> None:
        """With another log the connections may lead to a server that was succeeded."""
        if self.trust.state.epoch not in ("", reading.epoch):
            for database in (self.database, self.validate_database):
                database.expire_connections()

    def removals(self) -> tuple[Removal, ...]:
        """Of sessions, codes, pairings, counted failures and trust entries."""
        # While the primary's clock was set lately it may be set back, and entries kill again.
        trust = Removal(
            self.database,
            trust_log.REMOVE,
            kept=timedelta(seconds=1),
            allowed=lambda: self.clock.anchor.settled,
        )
        return (
            self.sessions.removal,
            *self.codes.removals,
            *self.pairings.removals,
            self.attempts.removal,
            trust,
        )

    async def close(self) -> None:
        """Close every connection and thread."""
        await self.pairing_wakeups.stop()
        await self.follower.stop()
        await self.sessions.close()
        await self.revocations.close()
        await self.clients.close()
        await self.durability.close()
        await self.redis.close()
        await self.hasher.close()
        await self.validate_database.close()
        await self.database.close()


def key_schedule(settings: Settings) -> KeyScheduleSettings:
    """How keys live, by the settings."""
    defaults = KeyScheduleSettings()
    rotation = dict.fromkeys(defaults.rotation, settings.key_rotation_period)
    rotation[KeyPurpose.PEPPER] = settings.pepper_rotation_period
    return KeyScheduleSettings(
        staleness_limit=settings.staleness_limit,
        publish_lead=settings.key_publish_lead,
        algorithms=tuple(settings.signing_algorithms),
        rotation=rotation,
    )


def _hasher(settings: Settings) -> Argon2Passwords:
    cost = Argon2Cost(
        memory_kib=settings.argon2_memory_kib,
        passes=settings.argon2_passes,
        lanes=settings.argon2_lanes,
    )
    return Argon2Passwords(cost, threads=settings.hashing_threads, queue=settings.argon2_queue)
