"""The cluster that Patroni keeps behaves as the one that companies run."""

import pytest

from tests.support.store_fixtures import StartPatroni
from tests.support.waiting import wait_until

pytestmark = pytest.mark.stores


def test_patroni_hands_over_and_replaces_a_primary_that_crashed(
    start_patroni: StartPatroni,
) -> None:
    cluster = start_patroni()
    first = cluster.leader()
    assert first.sql("SHOW synchronous_standby_names")
    first.sql("CREATE TABLE kept (n int)")
    second = cluster.switch_over()
    assert second is not first
    cluster.wait_until_whole()
    assert first.sql("SELECT pg_is_in_recovery()") == "t"
    second.sql("INSERT INTO kept VALUES (1)")
    second.crash_postgres()
    wait_until(lambda: cluster.leader() is not second)
    assert cluster.leader().sql("SELECT n FROM kept") == "1"
    cluster.wait_until_whole()
    assert second.sql("SELECT pg_is_in_recovery()") == "t"
