"""Mutations of protobuf messages by their fields: the result is one again, of which most readers see more."""

import random
from collections.abc import Iterator
from typing import Any

NUMBERS = (0, 1, -1, 2, 3, 7, 100, 127, 128, 255, 999, 65_536, 10**5, 2**31 - 1, -(2**31), 2**62, 2**63 - 1, -(2**63))
FLOATS = (0.0, 1.0, -1.0, float("inf"), float("-inf"), float("nan"), 1e-45, 3.4e38)
MOST = 20_000  # fields that are looked at


def mutate_message(message: Any, rng: random.Random, changes: int) -> bytes:
    """The message with some of its fields changed, taken out, doubled or exchanged."""
    for _ in range(changes):
        places = list(walk(message))
        if places:
            change(*rng.choice(places), rng, places)
    return message.SerializePartialToString()


def walk(message: Any) -> Iterator[tuple[Any, Any]]:
    """(message, field) of every field that is set, in it and in what it holds."""
    left, seen = [message], 0
    while left and seen < MOST:
        one = left.pop()
        for field, value in one.ListFields():
            seen += 1
            yield one, field
            if is_map(field):
                if field.message_type.fields_by_name["value"].message_type:
                    left += [value[key] for key in value]
            elif field.message_type:
                left += value if field.is_repeated else [value]


def is_map(field) -> bool:
    return bool(field.message_type) and field.message_type.GetOptions().map_entry


def change(message: Any, field, rng: random.Random, places) -> None:
    value = getattr(message, field.name)
    if is_map(field):
        change_map(value, rng)
    elif field.is_repeated:
        change_list(value, field, rng, places)
    elif field.message_type or rng.random() < 0.1:
        message.ClearField(field.name)
    else:
        set_value(lambda made: setattr(message, field.name, made), scalar(field, value, rng, places))


def change_map(value: Any, rng: random.Random) -> None:
    key = rng.choice(sorted(value))
    other = rng.choice(sorted(value))
    if rng.random() < 0.5 or not hasattr(value[key], "CopyFrom"):
        del value[key]
    else:
        value[key].CopyFrom(value[other])


def change_list(value: Any, field, rng: random.Random, places) -> None:
    index = rng.randrange(len(value))
    kind = rng.randrange(4)
    if kind == 0:
        del value[index]
    elif kind == 1 and field.message_type:
        value.add().CopyFrom(value[index])
    elif kind == 2 and field.message_type:
        value[index].CopyFrom(value[rng.randrange(len(value))])
    elif field.message_type:
        value[index].Clear()
    elif kind == 1:
        value.append(value[index])
    else:
        set_value(lambda made: value.__setitem__(index, made), scalar(field, value[index], rng, places))


def set_value(put, value: Any) -> None:
    try:
        put(value)
    except (ValueError, TypeError):  # a number beyond the field's range
        return


def scalar(field, value: Any, rng: random.Random, places) -> Any:
    """Another value of a field: an extreme one, one near, or that of such a field elsewhere."""
    others = [getattr(m, f.name) for m, f in rng.sample(places, min(20, len(places))) if f.type == field.type]
    others = [v for v in others if isinstance(v, type(value))]
    if others and rng.random() < 0.4:
        return rng.choice(others)
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return rng.choice(FLOATS)
    if isinstance(value, int):
        return rng.choice(NUMBERS) if rng.random() < 0.6 else value + rng.choice((-1, 1))
    cut = rng.randrange(len(value) + 1)
    return rng.choice((value[:cut], value + value[:cut], value[:0], value[cut:]))
