"""Between a member's thread and the belt: waits that end, commits of which the latest wins."""

from __future__ import annotations

import threading

import pytest
from waiting import eventually

from streamlearn.connectors import notices as notices_module
from streamlearn.connectors.notices import Notices
from streamlearn.contracts import Assigned, Lost, Revoked
from streamlearn.errors import SourceError, TopicMissing
from streamlearn.events import TopicPartition

ONE, OTHER = TopicPartition("t", 0), TopicPartition("t", 1)


def waiting_for(notices: Notices, revoked: Revoked, budget_seconds: float) -> threading.Thread:
    thread = threading.Thread(target=notices.put_and_wait, args=(revoked, budget_seconds))
    thread.start()
    return thread


def test_happenings_come_in_order_and_once() -> None:
    notices = Notices()
    notices.put(Assigned((ONE,)))
    notices.put(Lost((ONE,)))
    assert notices.take() == [Assigned((ONE,)), Lost((ONE,))]
    assert notices.take() == []


def test_a_failure_comes_first_and_loses_no_happening() -> None:
    notices = Notices()
    notices.put(Assigned((ONE,)))
    for _ in range(3):
        notices.fail(TopicMissing("no t", remedy="create it"))
    with pytest.raises(TopicMissing):
        notices.take()
    assert notices.take() == [Assigned((ONE,))]


def test_a_revoke_waits_until_it_is_released() -> None:
    notices = Notices()
    thread = waiting_for(notices, Revoked((ONE,)), 60.0)
    [revoked] = eventually(notices.take)
    assert revoked == Revoked((ONE,))
    notices.released(Revoked((OTHER,)))
    thread.join(0.05)
    assert thread.is_alive()
    notices.released(revoked)
    thread.join(10)
    assert not thread.is_alive()
    assert notices.take() == []
    assert notices.revokes_over_budget == 0


def test_a_revoke_over_budget_is_followed_by_lost_and_its_commits_are_dropped() -> None:
    notices = Notices()
    notices.commit({ONE: 5, OTHER: 7})
    notices.put_and_wait(Revoked((ONE,)), 0.01)
    assert notices.take() == [Revoked((ONE,)), Lost((ONE,))]
    assert notices.revokes_over_budget == 1
    assert notices.take_commits() == {OTHER: 7}


def test_closing_ends_a_wait_and_starts_none() -> None:
    notices = Notices()
    thread = waiting_for(notices, Revoked((ONE,)), 60.0)
    eventually(notices.take)
    notices.close()
    thread.join(10)
    assert not thread.is_alive()
    notices.put_and_wait(Revoked((ONE,)), 60.0)
    assert notices.take() == []


def test_the_latest_commit_wins_also_over_a_refused_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices_module, "COMMIT_RETRY_SECONDS", 0.0)
    notices = Notices()
    notices.commit({ONE: 1, OTHER: 1})
    notices.commit({ONE: 2})
    assert notices.take_commits() == {ONE: 2, OTHER: 1}
    assert notices.take_commits() == {}
    notices.commit({ONE: 3})
    notices.commit_refused({ONE: 2, OTHER: 1})
    assert notices.take_commits() == {ONE: 3, OTHER: 1}
    assert notices.commits_failed == 1


def test_a_refused_commit_waits_before_it_is_tried_again() -> None:
    notices = Notices()
    notices.commit_refused({ONE: 2})
    assert notices.take_commits() == {}
    notices.commit({})
    assert notices.take_commits() == {ONE: 2}


def test_failures_are_source_errors() -> None:
    notices = Notices()
    notices.fail(SourceError("one", remedy="r"))
    notices.fail(SourceError("two", remedy="r"))
    for what in ("one", "two"):
        with pytest.raises(SourceError, match=what):
            notices.take()
