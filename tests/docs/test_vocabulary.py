"""One word for one thing: the words that the glossary's replace are found nowhere.

``python tests/docs/test_vocabulary.py [PATH ...]`` lists what is found, by default everywhere.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import sys
from collections.abc import Iterator

import pytest

CHECKOUT = pathlib.Path(__file__).parents[2]
SUFFIXES = {".cfg", ".cff", ".md", ".py", ".toml", ".yaml", ".yml"}
PLACES = (
    ".github",
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "docs",
    "examples",
    "pyproject.toml",
    "recsim",
    "setup.py",
    "tests",
    "tools",
)
# What Sphinx makes, and this list itself.
LEFT_OUT = ("docs/_build", "docs/api", "tests/docs/test_vocabulary.py")


@dataclasses.dataclass(frozen=True)
class Replaced:
    """A word or phrase that is not used, and the one that is.

    Attributes:
        pattern: regular expression of the phrase, in which a space stands for any white space, a
            line break and the sign of a comment included. Capitals and small letters are the same.
        say: what is said in its place.
        except_in: regular expression of the phrases in which the word means something else.
        except_files: regular expression of the files in which it does.
    """

    pattern: str
    say: str
    except_in: str = ""
    except_files: str = ""


WORDS = (
    Replaced(
        r"worlds?(?![a-z])",
        "scenario, or environment for what is stepped",
        except_in=r"real(?:-| )worlds?|hello,? world|in the world",
    ),
    Replaced(
        r"users? at once|users_?at_?once|many(?:-| )users?\b(?! (?:and|or|of|as|have|like|with))",
        "vectorized; users in parallel",
        except_in=r"how many users?|as many users?|so many users?|too many users?",
    ),
    Replaced(r"one after the other|by turns", "sequentially, or interleaved"),
    Replaced(
        r"(?:steps?|episodes?|updates?|samples?|numbers?) an? second\b|user's steps?\b",
        "steps per second; per user-step",
        except_in=r"an? second (?:time|one|run|signal|call|user|slate)",
    ),
    Replaced(
        r"\bdraws(?= ?[.,:;)\]=])|(?<=[a-z])_draws\b|\bdraws_[a-z]+|what (?:is|was) drawn"
        r"|\b(?:the|of|same|own|no|random|these|those|their|more|all|any|other|engine's) draws\b"
        r"|\b(?:class|as|import|streams\.) ?Draws\b",
        "random stream, sample",
    ),
    Replaced(r"\bcut(?:s|ting)? (?:[a-z]+ ){0,2}off\b|cut[-_]offs?\b", "truncated"),
    Replaced(
        r"tak(?:e|es|ing|en) (?:the|its|whose|their) (?:old one's |user's )?place",
        "auto-reset; replaces",
    ),
    Replaced(
        r"(?<![a-z])play(?:s|ed|ing)?(?![a-z])|way_?s? ?_?(?:of|to)_? ?play",
        "rollout; run, step, simulate",
        # In the literature of bandits an arm is played.
        except_in=r"(?:arms?|topics?|documents?|slates?)[^.]{0,60}\bplay(?:s|ed|ing)?\b"
        r"|\bplay(?:s|ed|ing)?\b[^.]{0,60}(?:arms?|topics?|documents?|slates?)\b",
        # What a button of a page starts.
        except_files=r"recsim/agents/bandits/.*|(?:recsim|tests)/watching/.*|docs/watching.md",
    ),
    Replaced(
        r"what (?:came|comes|has come) of (?:it|a step|the step|steps?)", "transition, outcome"
    ),
    Replaced(
        r"\b(?:go|goes|went|going|gone) on\b|goes_on",
        "continue, resume",
        except_in=r"what (?:goes|went|is going) on",
    ),
    Replaced(r"\b(?:is|are|was|were) kept\b", "remain, is stored, is saved, is preserved"),
    Replaced(
        r"\bPart\(|class Part\b|import _?parts\b|\b_parts\.",
        "task",
    ),
    Replaced(
        r"\b_?identity\b",
        "fingerprint",
        except_in=r"(?:tf|np|scipy)\.identity|identity matri(?:x|ces)|identity link"
        r"|by identity|identity of (?:objects?|the object)",
    ),
    Replaced(r"\bfaces?\b", "interface, wrapper, adapter"),
    Replaced(r"\bmend(?:s|ed|ing)?\b", "fixed"),
    Replaced(
        r"\b(?:is|are) no (?!longer\b|more\b|less\b|better\b|worse\b|need\b"
        r"|one\b|sooner\b|slower\b|faster\b|larger\b|smaller\b|different\b|click\b)[a-z]+",
        "is not a, is not an",
        except_in=r"there (?:is|are) no",
    ),
    Replaced(
        r"(?<!v1\.)(?<!tf_session\.)\bsessions?\b",
        "episode",
        # Scenarios, and what is published of them, may tell of users' visits.
        except_files=r"(?!recsim/(?:agent|cli(?!/fit)|document|experiments|logs|registry|simulator|spaces"
        r"|testing|types|user|utils|vector)\b).*",
    ),
    Replaced(r"handed_out", "_as_read_only"),
    Replaced(r"fitting_cases", "compatible_cases"),
    Replaced(r"same_law|\blaws?\b", "distribution"),
    Replaced(r"\btwins?\b|_twins?\b|twins?_", "copy, pair, the single-user one"),
)


def compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace(" ", r"(?:\s+(?:#:? )?)"), re.IGNORECASE)


PATTERNS = [(word, compiled(word.pattern), compiled(word.except_in)) for word in WORDS]


def files(places: tuple[str, ...] = PLACES) -> Iterator[str]:
    """Yields the paths of the files of text, relative to the checkout."""
    for place in places:
        path = CHECKOUT / place
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            name = file.relative_to(CHECKOUT).as_posix()
            if file.suffix in SUFFIXES and not name.startswith(LEFT_OUT):
                yield name


def findings(name: str, text: str) -> list[str]:
    """Returns a line for each replaced word in a file's name or text."""
    found = []
    for word, pattern, exception in PATTERNS:
        if word.except_files and re.fullmatch(word.except_files, name):
            continue
        if pattern.search(pathlib.PurePath(name).stem.replace("_", " ")):
            found.append(f"{name}: the file's name; say: {word.say}")
        rest = text
        if word.except_in:
            rest = exception.sub(lambda match: re.sub(r"\S", "~", match[0]), text)
        for match in pattern.finditer(rest):
            line = rest.count("\n", 0, match.start()) + 1
            shown = " ".join(match[0].split())
            found.append(f"{name}:{line}: {shown!r}; say: {word.say}")
    return found


def all_findings(places: tuple[str, ...] = PLACES) -> Iterator[str]:
    for name in files(places):
        yield from findings(name, (CHECKOUT / name).read_text(encoding="utf-8"))


def test_replaced_words_are_found_nowhere():
    found = list(all_findings())
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "the same worlds run",
        "class VectorWorld:",
        "thousands of users at\n    # once",
        "steps a second",
        "draws.uniform(3)",
        "from recsim.vector.streams import Draws",
        "one after\nthe other",
        "an episode that was cut off",
        "plays 200 steps",
        "def play(env):",
        "the training goes on",
        "`slate_size` is no integer",
        "faults are mended",
        "the Gym face of it",
    ],
)
def test_replaced_word_is_found(text):
    assert len(findings("page.md", text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "data of the real world",
        "there is no integer",
        "it is no longer so",
        "a weight drawn from its posterior, as Thompson sampling draws it",
        "after a second run",
        "display(figure)",
        "each arm is played once",
        "so many users",
        "np.identity(3)",
    ],
)
def test_other_meaning_is_not_found(text):
    assert findings("page.md", text) == []


if __name__ == "__main__":
    print(*all_findings(tuple(sys.argv[1:]) or PLACES), sep="\n")
