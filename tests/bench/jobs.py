"""Jobs for the load process, and what was measured meanwhile."""

from collections import defaultdict
from typing import Any

from tests.bench.processes import Echo, Loader, cpu_seconds, median
from tests.bench.requests import IN_FLIGHT
from tests.bench.sides import Side

VALIDATE = "/tokenservice.v1.TokenService/Validate"
EXCHANGE = "/tokenservice.v1.TokenService/Exchange"
REVOKE = "/tokenservice.v1.TokenService/Revoke"


class Jobs:
    """Runs them one at a time; keeps the rounds of each by name and calls in flight."""

    def __init__(self) -> None:
        self._loader = Loader()
        self.cpu_us: dict[str, list[float]] = defaultdict(list)
        self.latency: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.rates: dict[str, list[float]] = defaultdict(list)

    def close(self) -> None:
        """End the load process."""
        self._loader.close()

    def measure(self, name: str, pid: int, concurrency: int, **job: Any) -> None:
        """One job of one round: CPU per call of the process, and the latencies. Raises
        RuntimeError when a single call was not answered as it should be."""
        before = cpu_seconds(pid)
        answer = self._loader.run(concurrency=concurrency, **job)
        used = cpu_seconds(pid) - before
        if answer["calls"] != job["count"]:
            raise RuntimeError(f"{name}: {answer['calls']} of {job['count']} calls were answered")
        key = f"{name}@{concurrency}"
        self.cpu_us[key].append(1e6 * used / answer["calls"])
        self.latency[key].append(answer)
        self.rates[key].append(answer["calls"] / answer["seconds"])

    def validate(
        self, name: str, side: Side, requests: str, concurrency: int, count: int, kind: str = "warm"
    ) -> None:
        """Ask a server about tokens."""
        self._call(name, side, "demo-gateway", VALIDATE, requests, concurrency, count, kind)

    def change(
        self,
        name: str,
        side: Side,
        method: str,
        requests: str,
        concurrency: int,
        count: int,
        kind: str,
        **how: Any,
    ) -> None:
        """Exchange or revoke sessions of demo-web."""
        self._call(name, side, "demo-web", method, requests, concurrency, count, kind, **how)

    def _call(
        self,
        name: str,
        side: Side,
        client: str,
        method: str,
        requests: str,
        concurrency: int,
        count: int,
        kind: str,
        **how: Any,
    ) -> None:
        self.measure(
            name,
            side.pid,
            concurrency,
            kind=kind,
            count=count,
            method=method,
            address=side.server.address,
            authorization=side.as_client(client),
            requests=str(side.requests[requests]),
            **how,
        )

    def echo(self, what: str, echo: Echo, side: Side, concurrency: int, count: int) -> None:
        """The floor of `validate` or `exchange`, with the requests of this side."""
        requests, client = {
            "validate": ("warm", "demo-gateway"),
            "exchange": ("exchange", "demo-web"),
        }[what]
        self.measure(
            f"echo_{what}",
            echo.pid,
            concurrency,
            kind="warm",
            count=count,
            method=f"/echo/{what}",
            address=echo.address,
            authorization=side.as_client(client),
            requests=str(side.requests[requests]),
        )

    def cpu(self, name: str, concurrency: int = IN_FLIGHT) -> float:
        """Median CPU per call in microseconds."""
        return median(self.cpu_us[f"{name}@{concurrency}"])

    def figures(self) -> dict[str, dict[str, float]]:
        """The medians of everything, by name and calls in flight."""
        return {
            key: {
                "cpu_us_per_call": round(median(values), 1),
                "calls_per_second": round(median(self.rates[key])),
                "p50_ms": round(median([one["p50_ms"] for one in self.latency[key]]), 3),
                "p99_ms": round(median([one["p99_ms"] for one in self.latency[key]]), 3),
            }
            for key, values in sorted(self.cpu_us.items())
        }
