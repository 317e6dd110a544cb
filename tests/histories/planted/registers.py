"""Logins, policies and keys, as histories."""

from tests.histories.planted.registry import accept, plant
from tests.histories.story import LIMIT, Story


@plant("disabled or changed, logged in")
def a_disabled_user_logs_in(story: Story) -> None:
    story.tell("disable_user", target=["user", 7], writes=[["user 7", "disabled"]])
    story.issue(user=7, password=1)


@plant("disabled or changed, logged in")
def an_old_password_logs_in(story: Story) -> None:
    story.tell("create_user", writes=[["password 7", 1], ["user 7", "enabled"]])
    story.tell("set_password", target=["user", 7], writes=[["password 7", 2]])
    story.issue(user=7, password=1)


@plant("disabled or changed, logged in")
def a_disabled_client_is_served(story: Story) -> None:
    story.tell("disable_client", target=["client", "app"], writes=[["client app", "disabled"]])
    story.issue()


@plant("login possible")
def a_user_who_cannot_log_in(story: Story) -> None:
    story.tell("create_user", writes=[["password 7", 1], ["user 7", "enabled"]])
    story.tell("issue", "CREDENTIALS_INVALID", client="app", user=7, password=1)


@plant("policy")
def a_scope_that_was_taken_away(story: Story) -> None:
    story.tell("update_policy", target=["reissue", "app"], writes=[["policy app", "narrow"]])
    wide = [[1, ["orders.read", "orders.write"], "k1"]]
    story.issue(access=wide, at=story.now + LIMIT + 1)


@plant("policy")
def a_scope_that_was_given_and_lost(story: Story) -> None:
    story.tell("update_policy", writes=[["policy app", "narrow"]])
    story.tell("update_policy", writes=[["policy app", "wide"]])
    story.issue(at=story.now + LIMIT + 1)


@plant("compromised key")
def a_token_made_with_a_compromised_key(story: Story) -> None:
    story.tell("compromise_key", target=["key", "k1"])
    story.issue(at=story.now + LIMIT + 1)


@accept
def registers_that_are_read_as_they_may_be(story: Story) -> None:
    story.tell("create_user", writes=[["password 7", 1], ["user 7", "enabled"]])
    story.tell("disable_user", "?UNAVAILABLE", target=["user", 7], writes=[["user 7", "disabled"]])
    story.issue(1, user=7, password=1)
    story.tell("issue", "CREDENTIALS_INVALID", client="app", user=7, password=1)
    story.tell("enable_user", writes=[["user 7", "enabled"]])
    story.issue(2, user=7, password=1)
    story.tell("update_policy", writes=[["policy app", "narrow"]], target=["reissue", "app"])
    wide = [[1, ["orders.read", "orders.write"], "k1"]]
    story.issue(3, access=wide)
    story.issue(4, at=story.now + LIMIT + 1)
    story.tell("update_policy", writes=[["policy app", "wide"]])
    story.exchange(400, at=story.now + LIMIT + 1)  # granted when the policy was narrow
