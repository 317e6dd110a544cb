"""The replicated PostgreSQL that the tests of failover stand on does what it says."""

import threading

from tests.support.postgres_cluster import PostgresCluster
from tests.support.store_fixtures import ClusterTemplate, StartCluster
from tests.support.waiting import PATIENCE, wait_until

_TABLE = "CREATE TABLE kept (n int)"


def _rows(cluster: PostgresCluster) -> list[int]:
    return [int(row) for row in cluster.primary.sql("SELECT n FROM kept ORDER BY n").split()]


def test_a_synchronous_failover_keeps_every_commit(start_cluster: StartCluster) -> None:
    cluster = start_cluster()
    first = cluster.primary
    identity, timeline = first.system_identifier(), first.timeline()
    first.sql(_TABLE)
    slow, other = cluster.standbys
    slow.freeze()
    first.sql("INSERT INTO kept VALUES (1)")
    slow.thaw()
    assert cluster.fail_over() is first
    assert cluster.primary in (slow, other)
    assert not first.running
    cluster.primary.sql("INSERT INTO kept VALUES (2)")
    assert _rows(cluster) == [1, 2]
    assert cluster.primary.system_identifier() == identity
    assert int(cluster.primary.timeline(), 16) == int(timeline, 16) + 1
    cluster.rejoin(first)
    assert first.in_recovery()
    cluster.wait_for_replay(first)
    assert first.sql("SELECT n FROM kept ORDER BY n").split() == ["1", "2"]


def test_a_synchronous_commit_waits_for_a_standby(start_cluster: StartCluster) -> None:
    cluster = start_cluster(standbys=1)
    cluster.primary.sql(_TABLE)
    (standby,) = cluster.standbys
    standby.cut()
    writing = threading.Thread(
        target=cluster.primary.sql, args=("INSERT INTO kept VALUES (1)",), daemon=True
    )
    writing.start()
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    wait_until(lambda: cluster.primary.sql(waits) == "1")
    assert _rows(cluster) == []
    cluster.repoint(standby)
    writing.join(PATIENCE)
    assert _rows(cluster) == [1]


def test_an_asynchronous_failover_loses_what_the_standby_never_had(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(standbys=1, synchronous=False)
    (standby,) = cluster.standbys
    cluster.primary.sql(_TABLE)
    cluster.primary.sql("INSERT INTO kept VALUES (1)")
    cluster.wait_for_replay(standby)
    standby.cut()
    cluster.primary.sql("INSERT INTO kept VALUES (2)")
    assert cluster.lag(standby) > 0
    zombie = cluster.promote(standby)
    assert cluster.primary is standby
    assert not zombie.in_recovery()
    standby.sql("INSERT INTO kept VALUES (3)")
    assert _rows(cluster) == [1, 3]
    assert zombie.sql("SELECT n FROM kept ORDER BY n").split() == ["1", "2"]
    cluster.rejoin(zombie)
    cluster.wait_for_replay(zombie)
    assert zombie.sql("SELECT n FROM kept ORDER BY n").split() == ["1", "3"]


def test_a_member_is_frozen_killed_and_cloned_anew(
    start_cluster: StartCluster, cluster_template: ClusterTemplate
) -> None:
    cluster = start_cluster(standbys=1)
    (standby,) = cluster.standbys
    standby.freeze()
    standby.crash()
    assert not standby.running
    standby.reclone(cluster.primary)
    standby.start()
    cluster.wait_for_standbys()
    assert standby.system_identifier() == cluster.primary.system_identifier()
    world = cluster_template.world_on(cluster)
    assert all(member.address in world.dsn for member in cluster.members)
