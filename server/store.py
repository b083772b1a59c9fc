"""Live sessions in Redis: saved by the process that has them, claimed by the one that goes on with them.

Each has an owner, told by a number that grows with every claim: what an older one saves is refused. A session is one
hash (its state, the engine's snapshot, the digest of its token's secret) and one list of the messages that a client may
not have read. Knows Redis and bytes; nothing of what is in them. Blocks: not for the event loop.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

NAME = "{spiccato}:live"  # braces: one slot of a Redis cluster
MESSAGES = 1_000  # of a session that are kept
ANSWER_S = 2.0
GRACE_S = 60  # that Redis keeps a session longer than it would wait for its client

Answer = Literal["saved", "taken", "forgotten"]

# KEYS: hash, list. ARGV: owner, digest, seconds to keep, whether it may be unknown, state, snapshot, number before the
# first message that is kept, most messages, then number and text of each new one. Sent twice, a message is kept once.
SAVE = """
local owner = redis.call('HGET', KEYS[1], 'owner')
if owner and owner ~= ARGV[1] then return 'taken' end
if not owner and ARGV[4] == '0' then return 'forgotten' end
local newest = tonumber(redis.call('HGET', KEYS[1], 'newest') or '-1')
for at = 9, #ARGV, 2 do
  if tonumber(ARGV[at]) > newest then
    newest = tonumber(ARGV[at])
    redis.call('RPUSH', KEYS[2], ARGV[at + 1])
  end
end
redis.call('LTRIM', KEYS[2], -ARGV[8], -1)
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'digest', ARGV[2], 'state', ARGV[5], 'snapshot', ARGV[6],
           'gone', ARGV[7], 'newest', string.format('%.0f', newest))
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 'saved'
"""
CLAIM = """
local kept = redis.call('HMGET', KEYS[1], 'digest', 'state', 'snapshot', 'gone')
if kept[1] ~= ARGV[1] then return false end
return {redis.call('HINCRBY', KEYS[1], 'owner', 1), kept[2], kept[3], kept[4], redis.call('LRANGE', KEYS[2], 0, -1)}
"""
DROP = "if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] then redis.call('DEL', KEYS[1], KEYS[2]) end"


@dataclass(frozen=True, slots=True)
class Save:
    """One session as it is now."""

    id: str
    owner: int
    digest: str
    fresh: bool  # Redis need not know it yet
    gone: int  # messages up to this number cannot be told again
    seq: int  # of the next message
    leaps: int  # numbers were left out so often
    clock: int  # samples that were heard
    sample: int | None  # from which a client would have to send again; None: it has ended
    state: Callable[[], bytes]
    snapshot: Callable[[], bytes]
    messages: Sequence[tuple[int, str]]  # that were not saved before


class Seen(NamedTuple):
    owner: int
    state: bytes


class Claimed(NamedTuple):
    owner: int
    state: bytes
    snapshot: bytes
    gone: int
    messages: list[bytes]


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class Store:
    """Needs the package redis. Raises ValueError where `url` cannot be read; its methods what `passing` names."""

    def __init__(self, url: str, keep_s: float) -> None:
        from redis import Redis
        from redis.exceptions import RedisError

        times: dict[str, Any] = {"socket_timeout": ANSWER_S, "socket_connect_timeout": ANSWER_S}
        self._redis: Any = Redis.from_url(url, **times)  # its types say little
        self._save = self._redis.register_script(SAVE)
        self._claim = self._redis.register_script(CLAIM)
        self._drop = self._redis.register_script(DROP)
        self._keep_s = round(keep_s) + GRACE_S
        self.passing = (RedisError, OSError)  # troubles that may be over later
        self.bytes = 0  # that were given to Redis

    def save(self, saves: Sequence[Save]) -> list[Answer]:
        size = 0
        with self._redis.pipeline(transaction=False) as asked:
            for one in saves:
                state, snapshot = one.state(), one.snapshot()
                size += len(state) + len(snapshot) + sum(len(text) for _, text in one.messages)
                how: list[Any] = [one.owner, one.digest, self._keep_s, int(one.fresh)]
                what: list[Any] = [state, snapshot, one.gone, MESSAGES]
                told = [part for message in one.messages for part in message]
                self._save(keys=_keys(one.id), args=[*how, *what, *told], client=asked)
            answers = asked.execute()
        self.bytes += size
        return [cast(Answer, answer.decode()) for answer in answers]

    def look(self, id: str, digest: str) -> Seen | None:
        """What is kept for who shows the secret of this digest."""
        kept, owner, state = self._redis.hmget(_keys(id)[0], "digest", "owner", "state")
        return None if kept is None or kept.decode() != digest else Seen(int(owner), state)

    def claim(self, id: str, digest: str) -> Claimed | None:
        """It is ours from now on."""
        found = self._claim(keys=_keys(id), args=[digest])
        if found is None:
            return None
        owner, state, snapshot, gone, messages = found
        return Claimed(owner, state, snapshot, int(gone), messages)

    def drop(self, id: str, owner: int) -> None:
        """Nobody will come back to it."""
        self._drop(keys=_keys(id), args=[owner])

    def ping(self) -> None:
        self._redis.ping()

    def close(self) -> None:
        self._redis.close()


def _keys(id: str) -> list[str]:
    return [f"{NAME}:{id}", f"{NAME}:{id}:told"]
