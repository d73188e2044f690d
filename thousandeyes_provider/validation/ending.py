"""How a wait ended, as a verdict: the one place where the state of the waiting and the judgement come together."""

from __future__ import annotations

from thousandeyes_provider.api.round_progress import RoundProgress, WaitState
from thousandeyes_provider.validation.verdict import Judgement, Verdict


def verdict_of(state: WaitState, waiting: RoundProgress, judgement: Judgement) -> Verdict:
    """The verdict on a round.

    :param state: how the waiting stands. While it goes on, and at the deadline, a round that has not enough agents is
        ``incomplete``, whatever the others report.
    :param waiting: what has arrived.
    :param judgement: what is to be said of it.
    """
    if not waiting.rows():
        return Verdict.NO_RESULTS
    enough = (
        state in (WaitState.COMPLETE, WaitState.ENOUGH, WaitState.QUIET) or waiting.enough_since is not None
    )
    if not enough or not judgement.judged:
        return Verdict.INCOMPLETE
    return Verdict.PASSED if judgement.passed else Verdict.FAILED
