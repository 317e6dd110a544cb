"""Who talks to whom, and the layers of a node."""

from docs.pictures.svg import Picture

TITLE = "Architecture of the token service"
DESCRIPTION = (
    "Browsers and phones talk to applications and to API gateways. Applications call the "
    "token service to issue, exchange and revoke tokens. Gateways ask it to validate tokens, "
    "or follow its trust feed and decide with a validator in their own process. A node of the "
    "service has four layers: rpc calls usecases, usecases decide with domain, adapters "
    "implement what domain asks for; app composes them. Any number of nodes share one "
    "PostgreSQL, which holds the truth and wakes the nodes when something was revoked, and "
    "Redis, which only makes them faster."
)


def architecture() -> Picture:
    """The picture."""
    picture = Picture(960, 560, TITLE, DESCRIPTION)
    _callers(picture)
    _node(picture)
    _stores(picture)
    return picture


def _callers(picture: Picture) -> None:
    picture.labelled("box", 30, 40, 220, 60, "Browsers, phones", "session cookies, access tokens")
    picture.labelled(
        "box", 30, 210, 220, 80, "Application", "keeps session tokens,", "logs users in"
    )
    picture.box("box", 30, 350, 220, 170)
    picture.text(140, 378, "API gateway", "title", "middle")
    picture.text(140, 398, "in front of every API", "small", "middle")
    picture.labelled(
        "main", 50, 415, 180, 86, "Validator", "same verdict function,", "in microseconds"
    )
    picture.arrow((140, 100), (140, 208))
    picture.text(150, 160, "log in, use", "small")
    picture.arrow((30, 70), (14, 70), (14, 435), (28, 435))
    picture.text(24, 325, "call APIs with an access token", "small")


def _node(picture: Picture) -> None:
    left = 430
    picture.box("zone", left + 14, 54, 330, 330)
    picture.box("zone", left + 7, 47, 330, 330)
    picture.box("zone", left, 40, 330, 330)
    picture.text(left + 165, 68, "Token service, any number of nodes", "title", "middle")
    picture.labelled("main", left + 20, 84, 290, 58, "rpc", "gRPC: who calls, limits, errors")
    picture.labelled("main", left + 20, 166, 290, 58, "usecases", "permissions, steps of each call")
    picture.labelled(
        "main", left + 20, 248, 140, 100, "domain", "pure decisions,", "no clock, no I/O"
    )
    picture.labelled("main", left + 186, 248, 124, 100, "adapters", "SQL, Redis,", "cryptography")
    picture.arrow((left + 165, 142), (left + 165, 164))
    picture.arrow((left + 90, 224), (left + 90, 246))
    picture.arrow((left + 186, 298), (left + 162, 298))
    picture.arrow((250, 232), (left - 2, 112))
    picture.text(262, 108, "Issue, Exchange,", "small")
    picture.text(262, 126, "Revoke", "small")
    picture.arrow((250, 372), (left - 2, 250))
    picture.text(262, 312, "Validate", "small")
    picture.arrow((left - 2, 340), (232, 450), kind="feed")
    picture.text(302, 432, "trust feed: keys and", "small")
    picture.text(302, 450, "revocations, within", "small")
    picture.text(302, 468, "milliseconds", "small")


def _stores(picture: Picture) -> None:
    picture.labelled(
        "store",
        470,
        440,
        220,
        84,
        "PostgreSQL",
        "the truth: sessions, users,",
        "trust log, audit log",
    )
    picture.labelled(
        "box", 740, 440, 190, 84, "Redis", "faster; may be empty", "or gone at any time"
    )
    picture.arrow((570, 384), (570, 438), both=True)
    picture.text(580, 410, "one statement per change;", "small")
    picture.text(580, 428, "wakes all nodes", "small")
    picture.arrow((774, 330), (840, 330), (840, 438), both=True)
    picture.text(784, 320, "caches, pairings", "small")
