"""Columns of tables as compact arrays; what does not fit is refused by its column and row."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Column", "Labels", "ValuesByLabel", "grown"]

#: A feature of more categories than this is refused.
MOST_CATEGORIES = 50
_TRUE, _FALSE = ("true", "yes", "y", "t"), ("false", "no", "n", "f")


class Column:
    """Some rows of a column.

    Args:
        name: the column's name.
        values: the rows.
        row: what a message calls the row of an index.
        remark: what errors add, or nothing.
    """

    def __init__(
        self, name: str, values: pa.Array, row: Callable[[int], str], remark: str = ""
    ) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        self.name = name
        self._row = row
        self._remark = f" {remark}" if remark else ""
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        self._is_text = _is_text(values.type)
        if self._is_text:
            values = pc.utf8_trim_whitespace(values.cast(pa.large_string()))
            values = pc.if_else(pc.equal(values, ""), pa.scalar(None, values.type), values)
        self._values = values

    def refused(self, index: int, wanted: str, got: object = None, remedy: str = "") -> ValueError:
        """Returns the error of a row: what was wanted, what came and what to do."""
        if got is None:
            got = self._values[index].as_py()
        return ValueError(
            f"The column {self.name!r} must hold {wanted}, got {got!r} in {self._row(index)}."
            f"{f' {remedy}' if remedy else ''}{self._remark}"
        )

    def lacking(self, index: int, wanted: str, remedy: str = "") -> ValueError:
        """Returns the error of a row in which there is nothing."""
        return ValueError(
            f"The column {self.name!r} must hold {wanted}, got nothing in {self._row(index)}."
            f"{f' {remedy}' if remedy else ''}{self._remark}"
        )

    def missing(self) -> np.ndarray:
        """Returns where nothing is, as bools; NaN is nothing."""
        import pyarrow.compute as pc

        nothing: np.ndarray = pc.is_null(self._values, nan_is_null=True).to_numpy(
            zero_copy_only=False
        )
        return nothing

    def labels(self) -> pa.Array:
        """Returns labels as text: whole numbers without a decimal point, null where nothing is."""
        import pyarrow as pa
        import pyarrow.compute as pc

        values = self._values
        if self._is_text:
            return values
        if pa.types.is_floating(values.type):
            array = values.to_numpy(zero_copy_only=False)
            whole = np.isnan(array) | (np.abs(array) < 2.0**53) & (array == np.round(array))
            if whole.all():
                values = pa.array(np.nan_to_num(array).astype(np.int64), mask=np.isnan(array))
        if pa.types.is_nested(values.type) or pa.types.is_binary(values.type):
            raise self.refused(0, "labels, text or whole numbers", got=str(values.type))
        return pc.cast(values, pa.large_string())

    def numbers(self, wanted: str = "numbers") -> np.ndarray:
        """Returns numbers as float64, NaN where nothing is."""
        import pyarrow as pa
        import pyarrow.compute as pc

        values = self._values
        kind = values.type
        if pa.types.is_null(kind):
            return np.full(len(values), np.nan)
        if not (self._is_text or pa.types.is_decimal(kind) or _is_number(kind)):
            raise self.refused(_first(~self.missing()), wanted, remedy=f"Its type is {kind}.")
        try:
            floats = pc.cast(values, pa.float64(), safe=False)
        except pa.ArrowInvalid:
            index = next(i for i, v in enumerate(values) if not _parses(v.as_py()))
            raise self.refused(index, wanted) from None
        array: np.ndarray = floats.to_numpy(zero_copy_only=False)
        infinite = np.isinf(array)
        if infinite.any():
            raise self.refused(_first(infinite), f"finite {wanted}")
        return array

    def whole(self, low: int, high: int) -> np.ndarray:
        """Returns whole numbers in a range as int64; nothing may be missing."""
        wanted = f"whole numbers from {low} to {high}"
        array = self.numbers(wanted)
        with np.errstate(invalid="ignore"):
            good = (array >= low) & (array <= high) & (array == np.round(array))
        if not good.all():
            raise self.refused(_first(~good), wanted)
        whole: np.ndarray = array.astype(np.int64)
        return whole

    def flags(self, remedy: str) -> np.ndarray:
        """Returns 0 and 1, or words for them, as bools; nothing may be missing."""
        import pyarrow.compute as pc

        wanted = "0 or 1, or true or false"
        if self._is_text:
            lower = pc.utf8_lower(self._values).to_numpy(zero_copy_only=False)
            if lower[0] in (*_TRUE, *_FALSE):
                true: np.ndarray = np.isin(lower, _TRUE)
                false = np.isin(lower, _FALSE)
                if not (true | false).all():
                    raise self.refused(_first(~(true | false)), wanted, remedy=remedy)
                return true
        try:
            array = self.numbers(wanted)
        except ValueError as error:
            raise ValueError(f"{error} {remedy}") from None
        good = (array == 0) | (array == 1)
        if not good.all():
            raise self.refused(_first(~good), wanted, remedy=remedy)
        clicked: np.ndarray = array == 1
        return clicked

    def seconds(self) -> np.ndarray:
        """Returns times as float64: numbers as they are, dates in seconds since 1970."""
        import pandas as pd
        import pyarrow as pa
        import pyarrow.compute as pc

        kind, values = self._values.type, self._values
        if pa.types.is_date(kind):
            values = pc.cast(values, pa.timestamp("us"))
            kind = values.type
        if pa.types.is_timestamp(kind):
            micro = pc.cast(values, pa.timestamp("us", kind.tz), safe=False)
            since: np.ndarray = pc.cast(micro, pa.int64()).to_numpy(zero_copy_only=False) / 1e6
            return since
        if not self._is_text or _parses(_first_value(values)):
            return self.numbers("times")
        texts = values.to_pandas()
        times = pd.to_datetime(texts, utc=True, format="ISO8601", errors="coerce")
        wrong = (times.isna() & texts.notna()).to_numpy()
        if wrong.any():
            raise self.refused(
                _first(wrong), "times: numbers, or dates such as 2026-11-27 12:00:00"
            )
        array: np.ndarray = times.to_numpy("datetime64[us]").astype(np.int64) / 1e6
        array[times.isna().to_numpy()] = np.nan
        return array

    def hashes(self) -> np.ndarray:
        """Returns a number for each label, the same for the same one, as uint64."""
        import pandas as pd
        import pyarrow as pa

        values = self._values
        if pa.types.is_integer(values.type):
            return np.asarray(values.to_numpy(zero_copy_only=False), np.int64).view(np.uint64)
        encoded = self.labels().dictionary_encode()
        of_labels = pd.util.hash_array(np.asarray(encoded.dictionary.to_pylist(), object))
        hashes: np.ndarray = of_labels[encoded.indices.to_numpy(zero_copy_only=False)]
        return hashes

    @property
    def is_numeric(self) -> bool:
        """Whether the rows are numbers, or text that reads as such."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not self._is_text:
            return _is_number(self._values.type) or pa.types.is_decimal(self._values.type)
        return all(_parses(value.as_py()) for value in pc.unique(self._values))


class Labels:
    """Labels and their codes, whole numbers from 0 in the order in which they come."""

    def __init__(self) -> None:
        import pyarrow as pa

        self._known = pa.array([], pa.large_string())

    def __len__(self) -> int:
        return len(self._known)

    def codes(self, labels: pa.Array, *, add: bool = True) -> np.ndarray:
        """Returns the codes of labels as int32, -1 for null (and for new ones, if not to add)."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not len(labels):
            return np.zeros(0, np.int32)
        encoded = labels.dictionary_encode()
        places = pc.index_in(encoded.dictionary, value_set=self._known)
        of_labels: np.ndarray = pc.fill_null(places, -1).to_numpy(zero_copy_only=False).copy()
        new = of_labels < 0
        if add and new.any():
            of_labels[new] = np.arange(len(self), len(self) + new.sum())
            self._known = pa.concat_arrays([self._known, encoded.dictionary.filter(pa.array(new))])
        indices = pc.fill_null(encoded.indices, len(of_labels)).to_numpy(zero_copy_only=False)
        codes: np.ndarray = np.append(of_labels, -1).astype(np.int32)[indices]
        return codes

    def texts(self) -> np.ndarray:
        """Returns the labels, an array of text."""
        return np.asarray(self._known.to_pylist(), np.str_)

    def order(self) -> np.ndarray:
        """Returns the codes in the order of their labels: of numbers, or of the alphabet."""
        texts = self.texts()
        try:
            return np.argsort(texts.astype(np.int64), kind="stable")
        except (ValueError, OverflowError):
            return np.argsort(texts, kind="stable")


class ValuesByLabel:
    """What a column says of each item (or user), who has many rows.

    Args:
        name: the column's name.
        what: of what it is, in the plural.
        categories: whether to take numbers as categories, too.
    """

    def __init__(self, name: str, what: str, *, categories: bool = False) -> None:
        self.name = name
        self._what = what
        self._categories: Labels | None = Labels() if categories else None
        self._decided = categories
        self._first: np.ndarray = np.zeros(0, np.int32 if categories else np.float64)
        self._sums = np.zeros(0)
        self._counts = np.zeros(0, np.int64)
        self._varies = np.zeros(0, np.bool_)

    def add(self, codes: np.ndarray, column: Column, number: int) -> None:
        """Adds some rows, of items of these codes, of whom there are so many."""
        missing = column.missing()
        if not self._decided and not missing.all():
            self._decided = True
            if not column.is_numeric:
                self._categories = Labels()
        if self._categories is not None:
            values = self._categories.codes(column.labels()).astype(np.float64)
        else:
            values = column.numbers()
        self._counts = grown(self._counts, number, 0)
        self._sums = grown(self._sums, number, 0)
        self._varies = grown(self._varies, number, False)
        self._first = grown(self._first.astype(np.float64), number, np.nan)
        there = ~missing & (codes >= 0)
        codes, values = codes[there], values[there]
        new = self._counts[codes] == 0
        self._first[codes[new][::-1]] = values[new][::-1]
        self._varies[codes[values != self._first[codes]]] = True
        self._counts += np.bincount(codes, minlength=number)
        self._sums += np.bincount(codes, values, minlength=number)

    def labels(self, order: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Returns the label of each item as text, '' where there is none, and remarks."""
        assert self._categories is not None
        codes = np.nan_to_num(self._taken(self._first, order), nan=-1).astype(np.int64)
        remarks = []
        if varying := int(self._taken(self._varies, order).sum()):
            remarks.append(
                f"The column {self.name!r} says different things of {varying:,} {self._what}: the "
                "first one counts."
            )
        return np.append(self._categories.texts(), "")[codes], remarks

    def features(
        self, order: np.ndarray, *, refuse: bool
    ) -> tuple[np.ndarray, list[str], list[str]]:
        """Returns features (n, k) as float32, their names, and sentences on what was done.

        Args:
            order: the codes of the items, in the order of the rows that are returned.
            refuse: whether many categories are an error; else the feature is left out.
        """
        counts = self._taken(self._counts, order)
        if not counts.any():
            return _none(order), [], [f"The column {self.name!r} is empty: it is left out."]
        varying = int(self._taken(self._varies, order).sum())
        if self._categories is None:
            values = self._taken(self._sums, order) / np.maximum(counts, 1)
            remarks = self._filled(values, counts == 0)
            if varying:
                remarks.append(
                    f"The column {self.name!r} is not the same in all rows of {varying:,} "
                    f"{self._what}: its mean counts."
                )
            return values.astype(np.float32)[:, np.newaxis], [self.name], remarks
        names = self._categories.texts()
        if len(names) > MOST_CATEGORIES:
            told = f"The column {self.name!r} has {len(names):,} categories"
            if refuse:
                raise ValueError(
                    f"{told}: a feature must have at most {MOST_CATEGORIES}. Group them, turn them "
                    "into numbers, or leave the column out."
                )
            return _none(order), [], [f"{told}, more than {MOST_CATEGORIES}: it is left out."]
        labels, remarks = self.labels(order)
        indicators = (labels[:, np.newaxis] == np.sort(names)).astype(np.float32)
        if (nothing := int((counts == 0).sum())) > 0:
            remarks.append(f"The column {self.name!r} says nothing of {nothing:,} {self._what}.")
        return indicators, [f"{self.name}={name}" for name in np.sort(names)], remarks

    def _taken(self, values: np.ndarray, order: np.ndarray) -> np.ndarray:
        fill = np.nan if values.dtype.kind == "f" else 0
        taken: np.ndarray = grown(values, int(order.max()) + 1, fill)[order]
        return taken

    def _filled(self, values: np.ndarray, missing: np.ndarray) -> list[str]:
        """Fills values that are missing by the mean of the others."""
        if not missing.any():
            return []
        values[missing] = values[~missing].mean()
        return [
            f"The column {self.name!r} says nothing of {int(missing.sum()):,} {self._what}: they "
            "get the mean of the others."
        ]


def grown(array: np.ndarray, number: int, fill: object) -> np.ndarray:
    """Returns an array with at least so many entries, new ones of a value."""
    if len(array) >= number:
        return array
    larger = np.full(number, fill, array.dtype)
    larger[: len(array)] = array
    return larger


def _none(order: np.ndarray) -> np.ndarray:
    return np.zeros((len(order), 0), np.float32)


def _first_value(values: pa.Array) -> object:
    """Returns the first of some values that is there, None if none is."""
    there = values.drop_null()
    return there[0].as_py() if len(there) else None


def _first(mask: np.ndarray) -> int:
    return int(mask.argmax())


def _parses(value: object) -> bool:
    """Says whether text, or nothing, reads as a number."""
    if value is None:
        return True
    try:
        float(value)  # type: ignore[arg-type]  # Else it raises.
    except (TypeError, ValueError):
        return False
    return True


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return str(kind) in ("string", "large_string", "string_view") or bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind)
    )
