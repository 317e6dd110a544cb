"""What the machine draws."""

from hypothesis import strategies as st

CLIENTS = ("demo-web", "demo-opaque", "demo-rolling", "demo-mobile", "demo-api")

clients = st.sampled_from(CLIENTS)
ages = st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3, 5, 8, 13, 21])
"""How many were made since the one that is meant."""
devices = st.sampled_from(["", "phone", "laptop"])
audience_sets = st.sampled_from(
    [("orders",), ("orders",), (), ("billing",), ("billing", "orders"), ("nowhere",)]
)
scope_sets = st.sampled_from(
    [(), (), (), ("orders.read",), ("orders.read", "orders.write"), ("billing.read",), ("root",)]
).map(frozenset)
needed_scopes = st.sampled_from([(), (), ("orders.read",), ("billing.read",)]).map(frozenset)
role_sets = st.sampled_from([("accounting", "sales"), ("sales",), ("accounting",), ()]).map(
    frozenset
)
credentials_of = st.sampled_from(["user", "user", "user", "user", "wrong", "client"])
exchange_id_choices = st.sampled_from(["new", "new", "new", "none", "used"])
WITHIN = 60
"""Seconds that a gateway which derives its ids allows for a replay."""
windows = st.sampled_from([None, None, WITHIN, 0, 10_000_000])
short_lapses = st.sampled_from([1, 10, 59, 60, 61, 120, 240, 299, 300, 599, 600, 601])
long_lapses = st.sampled_from([899, 900, 1_799, 1_800, 3_600, 43_200, 86_400, 31 * 86_400])
purposes = st.sampled_from(["SIGNING", "MINT", "OPAQUE"])
chances = st.sampled_from([False, False, False, True])
"""What ends much happens less often: else little is alive to be looked at."""
