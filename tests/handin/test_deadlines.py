"""On time, late, closed, and what an extension moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from handin.deadlines import Deadline, Standing, deadline_of, read_time
from hypothesis import given
from hypothesis import strategies as st

TIMES = st.datetimes(datetime(2001, 1, 1), datetime(2900, 1, 1), timezones=st.just(UTC))
SPANS = st.timedeltas(timedelta(0), timedelta(days=60))


@given(TIMES, SPANS, TIMES)
def test_every_moment_is_one_of_three_in_their_order(
    due: datetime, grace: timedelta, moment: datetime
) -> None:
    deadline = Deadline(due, due + grace)
    standing = deadline.standing(moment)
    assert (standing is Standing.ON_TIME) == (moment <= due)
    assert (standing is Standing.CLOSED) == (moment > due + grace)
    assert Deadline(due, None).standing(moment) is not Standing.CLOSED


@given(TIMES, SPANS, TIMES, TIMES)
def test_an_extension_never_takes_time_away(
    due: datetime, grace: timedelta, until: datetime, moment: datetime
) -> None:
    order = list(Standing)
    before, after = deadline_of(due, due + grace, None), deadline_of(due, due + grace, until)
    assert order.index(after.standing(moment)) <= order.index(before.standing(moment))
    assert after.closes is not None and after.closes - after.due == grace


def test_times_have_a_zone() -> None:
    east = datetime(2027, 3, 7, 23, 59, tzinfo=timezone(timedelta(hours=8)))
    assert read_time("2027-03-07T23:59:00+08:00") == east
    for text in ("2027-03-07T23:59:00", "tomorrow", "1999-01-01T00:00:00Z", None, 5):
        with pytest.raises(ValueError, match=r"zone|isoformat|millennium|time is a text"):
            read_time(text)
