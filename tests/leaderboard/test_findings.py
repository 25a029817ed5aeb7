"""What the tables show in words: who is ahead, by intervals worked out by hand."""

import dataclasses

from support.leaderboard_entries import entry_of

from recsim.experiments.leaderboard import findings, page

# Three values 0.1 apart have an interval of 0.248 to each side (Student's 4.303 * 0.1 / 3**0.5).
GOOD = entry_of("good", easy=[5.0, 5.1, 5.2])
NEAR = entry_of("near", easy=[4.8, 5.0, 5.2])
BAD = entry_of("bad", easy=[0.0, 0.1, 0.2])
ORACLE = entry_of("short_term_oracle", easy=[3.9, 4.0, 4.1])


def untrained(entry):
    results = {name: dataclasses.replace(of, curve=None) for name, of in entry.tasks.items()}
    return dataclasses.replace(entry, tasks=results)


RANDOM = untrained(entry_of("random", easy=[0.9, 1.0, 1.1]))


def test_who_is_ahead_and_who_is_beyond_the_error():
    assert findings.sentences(page.Board([RANDOM, GOOD, NEAR, BAD, ORACLE])) == [
        "In `easy` `good` earns the most of all agents, 5.10 (4.85 to 5.35), within the error of "
        "`near`. Random slates earn 1.00 (0.75 to 1.25), the oracle 4.00 (3.75 to 4.25). Above "
        "random slates beyond the error: 2 of 3 agents; below: 1; above the oracle: 2."
    ]
    assert findings.sentences(page.Board([RANDOM, untrained(GOOD), BAD])) == [
        "In `easy` `good` earns the most of all agents, 5.10 (4.85 to 5.35), beyond the error of "
        "all others; of those that are trained `bad`, 0.10 (-0.15 to 0.35). Random slates earn "
        "1.00 (0.75 to 1.25). Above random slates beyond the error: 1 of 2 agents; below: 1."
    ]


def test_few_seeds_show_nothing_beyond_the_error():
    one = [entry_of("random", easy=[1.0]), entry_of("good", easy=[9.0])]
    assert findings.markdown(page.Board(one)) == (
        "- In `easy` `good` earns the most of all agents, 9.00. Random slates earn 1.00. Above "
        "random slates beyond the error: none of 1 agent; below: none.\n"
    )
    assert findings.sentences(page.Board([RANDOM])) == [
        "In `easy` random slates earn 1.00 (0.75 to 1.25)."
    ]


def test_all_tasks_together():
    entries = [
        entry_of("random", easy=[31.5] * 5, boredom=[14.7] * 5),
        entry_of("good", easy=[50.0] * 5, boredom=[20.0] * 5),
        entry_of("short_term_oracle", easy=[56.0] * 5, boredom=[33.0] * 5),
    ]
    first, *others = findings.sentences(page.Board(entries))
    # 18.42 of 24.51 in one task, 5.27 of 18.86 in the other.
    assert first == (
        "In all tasks together `good` has the highest score of all agents, 0.52 (0.52 to 0.52), "
        "beyond the error of all others. The oracle has 0.98 (0.98 to 0.98)."
    )
    assert len(others) == 2
