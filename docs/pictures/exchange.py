"""One session over time: an exchange, its replay after a lost reply, and a thief's reuse."""

from docs.pictures.svg import Picture

TITLE = "An exchange, its replay, and reuse"
DESCRIPTION = (
    "The application exchanges its session token of generation 1 with the exchange id A. The "
    "service moves the session's row in PostgreSQL to generation 2 in one conditional "
    "statement, but the reply is lost. The application repeats the call with the same id A "
    "and gets the same successor, generation 2. Later a thief presents a copy of generation 1 "
    "with another id, B. The service revokes the session with its audit row and an entry in "
    "the trust log, and only then answers TOKEN_REUSED. Gateways hear of the entry within "
    "milliseconds and refuse the session's access tokens. The application's next exchange, of "
    "generation 2, is answered TOKEN_REVOKED: the user logs in again."
)

THIEF, APPLICATION, SERVICE, STORE, GATEWAY = 80, 220, 480, 696, 862
HEIGHT = 720
_ACTORS = [
    ("bad", THIEF, 90, "Thief"),
    ("box", APPLICATION, 130, "Application"),
    ("main", SERVICE, 140, "Token service"),
    ("store", STORE, 130, "PostgreSQL"),
    ("box", GATEWAY, 130, "Gateways"),
]


def exchange() -> Picture:
    """The picture."""
    picture = Picture(960, HEIGHT, TITLE, DESCRIPTION)
    for kind, middle, width, name in _ACTORS:
        picture.line("life", middle, 70, middle, HEIGHT - 24)
        picture.labelled(kind, middle - width / 2, 26, width, 44, name)
    _exchange(picture)
    _replay(picture)
    _reuse(picture)
    _afterwards(picture)
    return picture


def _exchange(picture: Picture) -> None:
    _call(picture, APPLICATION, SERVICE, 112, "Exchange(generation 1, id A)")
    _call(picture, SERVICE, STORE, 140, "one statement")
    _note(picture, 148, "generation 1 → 2, if it is 1 and live;", "with its audit row")
    picture.arrow((SERVICE, 212), (APPLICATION + 90, 212), kind="lost")
    picture.line("lost", APPLICATION + 72, 204, APPLICATION + 88, 220)
    picture.line("lost", APPLICATION + 72, 220, APPLICATION + 88, 204)
    picture.text(APPLICATION + 100, 206, "the reply is lost", "small")


def _replay(picture: Picture) -> None:
    _call(picture, APPLICATION, SERVICE, 262, "the same call again, id A")
    _note(picture, 248, "generation is 2, and id A made it:", "a replay; nothing is written")
    picture.arrow((SERVICE, 304), (APPLICATION, 304))
    picture.text(APPLICATION + 12, 298, "the same generation 2")


def _reuse(picture: Picture) -> None:
    picture.arrow((THIEF, 366), (SERVICE, 366))
    picture.text(APPLICATION + 12, 360, "Exchange(generation 1, id B)")
    _call(picture, SERVICE, STORE, 394, "one transaction")
    _note(
        picture,
        402,
        "reuse: the session is revoked, with an",
        "audit row and a trust log entry",
        "bad",
    )
    picture.arrow((SERVICE, 482), (GATEWAY, 482), kind="feed")
    picture.text(STORE + 12, 476, "trust feed", "small")
    picture.arrow((SERVICE, 482), (THIEF, 482))
    picture.text(APPLICATION + 12, 476, "TOKEN_REUSED")
    picture.box("bad", GATEWAY - 126, 496, 206, 46)
    picture.text(GATEWAY - 23, 516, "its access tokens are", "small", "middle")
    picture.text(GATEWAY - 23, 534, "refused at every gateway", "small", "middle")


def _afterwards(picture: Picture) -> None:
    _call(picture, APPLICATION, SERVICE, 586, "Exchange(generation 2, id C)")
    picture.arrow((SERVICE, 622), (APPLICATION, 622))
    picture.text(APPLICATION + 12, 616, "TOKEN_REVOKED")
    picture.box("note", 30, 640, 390, 46)
    picture.text(225, 660, "Nobody can say who is the thief:", "small", "middle")
    picture.text(225, 678, "both log in again, and only the owner can.", "small", "middle")


def _call(picture: Picture, start: float, end: float, y: float, text: str) -> None:
    picture.arrow((start, y), (end, y))
    picture.text(start + 12, y - 6, text)


def _note(picture: Picture, y: float, first: str, second: str, kind: str = "note") -> None:
    picture.box(kind, SERVICE + 16, y, 264, 46)
    picture.text(SERVICE + 148, y + 20, first, "small", "middle")
    picture.text(SERVICE + 148, y + 38, second, "small", "middle")
