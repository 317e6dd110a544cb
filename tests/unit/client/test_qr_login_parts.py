"""The parts of the example gateway that need no service."""

import ast
import asyncio
import io
from pathlib import Path

import pytest
from PIL import Image

from clients.examples.qr_login.devices import name_of
from clients.examples.qr_login.patience import SECONDS, NoAnswer, Patience
from clients.examples.qr_login.pictures import NotAPicture, texts_in
from clients.examples.qr_login.standing import standing_of
from clients.examples.qr_login.visits import IDLE_SECONDS, MOST_VISITS, OpenPairing, Visit, Visits
from tests.support.client_fakes import at
from tokenservice import (
    Device,
    PairingDirection,
    PairingEndReason,
    PairingKey,
    PairingState,
    PairingStatus,
    Peer,
    ShownCode,
    Side,
    qr,
)

EXAMPLE = Path(__file__).parents[3] / "clients" / "examples" / "qr_login"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
EDGE = "Mozilla/5.0 (Windows NT 10.0) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1"
ELSEWHERE = Peer(Device("d", "Firefox on Linux", FIREFOX, "203.0.113.9"), at(1), False)


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def test_it_uses_the_client_package_alone() -> None:
    imported: set[str] = set()
    for file in EXAMPLE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported.update(name.name.partition(".")[0] for name in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add((node.module or "").partition(".")[0])
    assert "tokenservice" in imported
    assert not imported & {"token_service", "grpc", "tests"}


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (FIREFOX, "Firefox on Linux"),
        (EDGE, "Edge on Windows"),
        (IPHONE, "Safari on iPhone"),
        ("curl/8", "A browser on an unknown system"),
        ("", "A browser on an unknown system"),
    ],
)
def test_names_that_people_recognise(agent: str, name: str) -> None:
    assert name_of(agent) == name


async def test_codes_in_pictures() -> None:
    one, other = (Image.open(io.BytesIO(qr.png(text))) for text in ("one", "other"))
    both = Image.new("L", (one.width + other.width, max(one.height, other.height)), 255)
    both.paste(one, (0, 0))
    both.paste(other, (one.width, 0))
    assert sorted(await texts_in(png(both))) == ["one", "other"]
    assert await texts_in(png(one.convert("RGBA").rotate(20, expand=True, fillcolor="white"))) == [
        "one"
    ]
    assert await texts_in(png(Image.new("L", (64, 64), 255))) == []


@pytest.mark.parametrize(
    "picture",
    [
        b"",
        b"not a picture",
        b"GIF89a" + bytes(64),
        png(Image.new("L", (64, 64)))[:60],
        png(Image.new("1", (8_000, 8_000))),  # 8 KB that would unpack to 64 MB
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
)
async def test_what_is_no_picture(picture: bytes) -> None:
    with pytest.raises(NotAPicture):
        await texts_in(picture)


def test_visits_end() -> None:
    now = 0.0
    visits = Visits(clock=lambda: now)
    cookie, visit = visits.open(Visit()), Visit()
    other = visits.open(visit)
    now = IDLE_SECONDS
    assert visits.find(other) is visit
    now += 1.0
    assert visits.find(cookie) is None
    assert visits.find(other) is visit
    visits.close(other)
    assert visits.find(other) is None
    assert visits.find("") is None
    kept = visits.open(visit)
    for _ in range(MOST_VISITS - 1):
        visits.open(Visit())
    assert visits.find(kept) is visit
    for _ in range(MOST_VISITS):
        visits.open(Visit())
    assert visits.find(kept) is None


def test_a_browser_scans_a_code_with_one_id() -> None:
    visit = Visit()
    assert visit.scan_id("one") == visit.scan_id("one")
    assert visit.scan_id("one") != visit.scan_id("other")
    assert visit.scan_id("one") != Visit().scan_id("one")


def test_no_repr_shows_what_the_gateway_keeps() -> None:
    key = PairingKey("p", Side.STARTER, "s3cret")
    visit = Visit(pairings={})
    visit.scan_id("c0de")
    shown = repr(OpenPairing(key, PairingDirection.MAP)) + repr(visit)
    assert not any(secret in shown for secret in ("s3cret", "c0de", visit.csrf))


@pytest.mark.parametrize(
    ("direction", "side", "decides"),
    [
        (PairingDirection.MAP, Side.STARTER, False),
        (PairingDirection.MAP, Side.SCANNER, True),
        (PairingDirection.PAM, Side.STARTER, True),
        (PairingDirection.PAM, Side.SCANNER, False),
    ],
)
def test_who_decides_and_who_collects(
    direction: PairingDirection, side: Side, decides: bool
) -> None:
    pairing = OpenPairing(PairingKey("p", side, "secret"), direction)
    scanned = standing_of(
        pairing, PairingStatus(state=PairingState.SCANNED, shown=None, peer=ELSEWHERE), 0.0
    )
    approved = standing_of(
        pairing, PairingStatus(state=PairingState.APPROVED, shown=None, peer=ELSEWHERE), 0.0
    )
    assert (scanned.decides, scanned.collects) == (decides, False)
    assert (approved.decides, approved.collects) == (False, not decides)
    assert ("PC" if side is Side.SCANNER else "phone") in scanned.sentence
    assert "Another network" in scanned.network
    assert scanned.peer_address == "203.0.113.9"


MAP_PHONE = OpenPairing(PairingKey("p", Side.SCANNER, "secret"), PairingDirection.MAP)
CANCELLED, DENIED = PairingState.CANCELLED, PairingState.DENIED


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        (CANCELLED, PairingEndReason.SCANNER, "You cancelled this."),
        (CANCELLED, PairingEndReason.STARTER, "This was cancelled on the PC."),
        (CANCELLED, PairingEndReason.CHECK_NUMBER, "The number was wrong twice."),
        (CANCELLED, PairingEndReason.SECOND_SCAN, "A second device scanned the code"),
        (CANCELLED, PairingEndReason.UNSPECIFIED, "This was cancelled. "),
        (DENIED, PairingEndReason.SCANNER, "You refused this."),
        (DENIED, PairingEndReason.STARTER, "This was refused on the PC."),
        (DENIED, PairingEndReason.UNSPECIFIED, "This was refused. "),
        (PairingState.EXPIRED, PairingEndReason.UNSPECIFIED, "Nothing happened in time."),
    ],
)
def test_what_is_over_says_why(state: PairingState, reason: PairingEndReason, said: str) -> None:
    standing = standing_of(MAP_PHONE, PairingStatus(state=state, end_reason=reason), 0.0)
    assert standing.sentence.startswith(said)
    assert "Nobody " in standing.sentence


def test_every_state_has_a_word_of_its_own() -> None:
    states = set(PairingState) - {PairingState.UNSPECIFIED}
    words = {standing_of(MAP_PHONE, PairingStatus(state=state), 0.0).label for state in states}
    assert len(words) == len(states)


async def test_a_slow_answer_is_waited_for() -> None:
    asked: list[float] = []
    told = asyncio.Event()

    async def ask(within: float) -> bool:
        asked.append(within)
        if len(asked) == 3:
            told.set()
        return True

    async def slow() -> str:
        await told.wait()
        return "done"

    assert await Patience(ask, 0.01).wait(slow()) == "done"
    assert asked == [0.01, 0.01, 0.01]


async def test_no_answer_ends_the_waiting() -> None:
    left: list[str] = []

    async def ask(_: float) -> bool:
        return False

    async def silent() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            left.append("the call")

    with pytest.raises(NoAnswer):
        await Patience(ask, 0.01).wait(silent())
    assert left == ["the call"]


async def test_what_answers_at_once_asks_nothing() -> None:
    async def ask(_: float) -> bool:
        raise AssertionError

    async def quick() -> str:
        raise LookupError("as it is")

    with pytest.raises(LookupError, match="as it is"):
        await Patience(ask, 60.0).wait(quick())


async def test_those_who_wait_at_the_same_time_ask_once() -> None:
    asked: list[float] = []

    async def ask(within: float) -> bool:
        asked.append(within)
        await asyncio.sleep(0)
        return False

    patience = Patience(ask, 60.0)
    assert await asyncio.gather(*(patience.answers() for _ in range(8))) == [False] * 8
    assert len(asked) == 1


def test_people_are_told_within_a_second() -> None:
    """They wait once before the service is asked whether it is there, and once for its answer."""
    assert 2 * SECONDS < 1.0


@pytest.mark.parametrize(("now", "seconds"), [(0.0, 40), (100.0, 0), (-1000.0, 60)])
def test_the_countdown(now: float, seconds: int) -> None:
    pairing = OpenPairing(PairingKey("p", Side.STARTER, "secret"), PairingDirection.MAP)
    shown = ShownCode("c0de", "x/map/c0de", at(100))
    standing = standing_of(pairing, PairingStatus(state=PairingState.PENDING, shown=shown), now)
    assert standing.seconds == seconds
    assert "c0de" not in repr(standing.as_json())
