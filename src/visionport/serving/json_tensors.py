"""JSON to named arrays and back, as TensorFlow Serving's REST API has it.

Reference: json_tensor.cc of TensorFlow Serving, for what is taken, what is refused, and in which words. Beyond it, half
floats are written as numbers, and strings that are no text as {"b64": ...}.
"""

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from visionport.formats.base import Tensor
from visionport.serving.messages import numpy_type
from visionport.serving.statuses import RequestError, invalid

SHOWN = 256  # characters of a value in an error
DEEPEST = 64  # lists in lists, of which NumPy makes an array
FAST = 1 << 16  # bytes of a body from which lists of numbers are read apart
LIST = b"0123456789eE+-. \t\r\n[],"  # what a list of numbers is written with
WITHOUT_BRACKETS = bytes(ord(" ") if c in b"[]" else c for c in range(256))
VALUES = b"0123456789eE+-. \t\r\n"  # without brackets and commas
EXACT = 1 << 62  # what lies beyond is read one by one: NumPy cuts it to what int64 holds

# ---------------------------------------------------------------- JSON


def read_json(body: bytes) -> dict[str, Any]:
    """The object that a body holds; NaN and Infinity are numbers. A large list of numbers comes as an array."""
    if not body.strip():
        raise invalid("JSON Parse error: The document is empty")
    found = _read_apart(body) if len(body) >= FAST else None
    if found is None:
        found = _read_whole(body)
    if not isinstance(found, dict):
        raise invalid(f"JSON Value: {shown(found)} Is not object")
    return found


def _read_whole(body: bytes) -> Any:
    import orjson

    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass  # NaN and Infinity are not for it, and the other parser says where a fault is
    try:
        return json.loads(body)
    except RecursionError:
        raise too_deep() from None
    except UnicodeDecodeError:
        raise invalid("JSON Parse error: Invalid encoding in string, which must be UTF-8.") from None
    except ValueError as e:
        raise invalid(f"JSON Parse error: {str(e)[:SHOWN]}") from None


def too_deep() -> RequestError:
    """For what no tensor is: recursion ends there, here and wherever such a value is walked through."""
    return invalid("JSON Parse error: lists or objects are nested too deep.")


def _read_apart(body: bytes) -> Any:
    """The same where most of the body is one list of numbers, which NumPy reads several times faster than JSON.

    None where it is not.
    """
    first, last = body.find(b"["), body.rfind(b"]")
    for _ in range(2):
        if first < 0 or last - first < len(body) // 2:
            return None
        if not body[first : last + 1].translate(None, LIST):
            break
        first, last = body.find(b"[", first + 1), body.rfind(b"]", 0, last)  # in a list of objects
    else:
        return None
    numbers = _read_numbers(body[first : last + 1])
    if numbers is None:
        return None
    mark = "\0numbers"
    try:
        found = _read_whole(body[:first] + json.dumps(mark).encode() + body[last + 1 :])
    except RequestError:  # the list lies in a string, or its neighbours are no JSON
        return None
    return _put(found, mark, numbers)


def _read_numbers(text: bytes) -> np.ndarray | None:
    """A regular list of numbers, int64 or float64; None where it is another."""
    shape = _shape_of(text.translate(None, VALUES))
    if shape is None:
        return None
    values = text.translate(WITHOUT_BRACKETS)  # blanks instead, so that no two numbers become one
    numbers = _read_floats(values) if any(c in values for c in b".eE") else _read_integers(values)
    if numbers is None or len(numbers) != math.prod(shape):
        return None
    return numbers.reshape(shape)


def _read_integers(values: bytes) -> np.ndarray | None:
    if not values[values.rfind(b",") + 1 :].strip().lstrip(b"-").isdigit():
        return None
    try:
        numbers = np.fromstring(values.decode("ascii"), np.int64, sep=" ,")
    except (ValueError, DeprecationWarning):  # it ends before the text does
        return None
    return numbers if len(numbers) and numbers.min() > -EXACT and numbers.max() < EXACT else None


def _read_floats(values: bytes) -> np.ndarray | None:
    import orjson

    try:
        return np.array(orjson.loads(b"[" + values + b"]"), np.float64)
    except (ValueError, OverflowError):
        return None


def _shape_of(brackets: bytes) -> tuple[int, ...] | None:
    """The shape of a list of which brackets and commas are left: "[[,,],[,,]]" is (2, 3); None of an irregular one."""
    depth = len(brackets) - len(brackets.lstrip(b"["))
    if not 0 < depth <= DEEPEST:
        return None
    unit, shape = b"", []
    for level in range(depth):
        start = depth - 1 - level
        end = brackets.find(b"]" * (level + 1), start)
        length = end + level - start - 1  # of what is between this level's brackets
        if end < 0 or (length + 1) % (len(unit) + 1):
            return None
        size = (length + 1) // (len(unit) + 1)
        unit = b"[" + b",".join([unit] * size) + b"]"
        shape.append(size)
    return tuple(reversed(shape)) if unit == brackets else None


def _put(found: Any, mark: str, numbers: np.ndarray) -> Any:
    """The array in the one place that holds the mark; None where that is no value."""
    places: list[tuple[Any, Any]] = [(found, key) for key in found] if isinstance(found, dict) else []
    for holder, key in places:
        value = holder[key]
        if isinstance(value, str) and value == mark:
            holder[key] = numbers
            return found
        if isinstance(value, dict):
            places += [(value, k) for k in value]
        elif isinstance(value, list) and len(value) == 1:
            places.append((value, 0))
    return None


# ---------------------------------------------------------------- requests


def read_signature_name(request: Mapping[str, Any]) -> str:
    """ "" where the request names none."""
    name = request.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {shown(request)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def read_inputs(request: Mapping[str, Any], inputs: Sequence[Tensor]) -> tuple[dict[str, np.ndarray], bool]:
    """(named arrays, whether they came in rows), of the body of a predict request."""
    try:
        return _read_inputs(request, inputs)
    except RecursionError:
        raise too_deep() from None


def _read_inputs(request: Mapping[str, Any], inputs: Sequence[Tensor]) -> tuple[dict[str, np.ndarray], bool]:
    rows, columns = "instances" in request, "inputs" in request
    if rows and columns:
        raise invalid(
            f"JSON Value: {shown(request)} Not formatted correctly expecting only one of 'inputs' or 'instances' keys "
            "to exist "
        )
    if rows:
        return _read_rows(request, {t.name: t for t in inputs}), True
    if columns:
        return _read_columns(request["inputs"], inputs), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _read_columns(value: Any, inputs: Sequence[Tensor]) -> dict[str, np.ndarray]:
    if not isinstance(value, dict) or is_binary(value):
        return {_only(inputs, "inputs is a plain value/list").name: to_array(value, inputs[0].dtype)}
    for tensor in inputs:
        if tensor.name not in value:
            raise invalid(f"Missing named input: {tensor.name} in 'inputs' object.")
    return {t.name: to_array(value[t.name], t.dtype) for t in inputs}


def _read_rows(request: Mapping[str, Any], inputs: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    items = request["instances"]
    if isinstance(items, np.ndarray):
        tensor = _only([*inputs.values()], "instances is a plain list", "list of objects")
        return {tensor.name: to_array(items, tensor.dtype)}
    if not isinstance(items, list):
        raise invalid(f"JSON Value: {shown(request)} Expecting 'instances' to be an list/array")
    if not items:
        raise invalid(f"JSON Value: {shown(request)} No values in 'instances' array")
    if not isinstance(items[0], dict):
        _only([*inputs.values()], "instances is a plain list", "list of objects")
    named = is_named(items[0])
    found: dict[str, list[np.ndarray]] = {name: [] for name in inputs}
    if not named and (whole := _whole(items, *inputs.values())) is not None:
        return whole
    for i, item in enumerate(items):
        if named is not is_named(item):
            raise invalid(
                f"Expecting object but got list at item {i} of input list"
                if named
                else f"Expecting value/list but got object at item {i} of input list"
            )
        values = (
            item if named else {_only([*inputs.values()], "instances is a plain list", "list of objects").name: item}
        )
        where = f"Failed to process element: {i}"
        for name, value in values.items():
            key = f" key: {name[:SHOWN]}" if named else ""
            _add_row(found, name, value, inputs, f"{where}{key} of 'instances' list. Error: INVALID_ARGUMENT: ")
        if values.keys() != inputs.keys():
            raise invalid(
                f"{where} of 'instances' list. JSON object: {shown(item)} keys must be equal to: "
                f"{','.join(sorted(inputs))}"
            )
    return {name: np.stack(arrays) for name, arrays in found.items()}


def _whole(items: list, tensor: Tensor) -> dict[str, np.ndarray] | None:
    """All rows at once where they are regular; what is wrong with others is found row by row."""
    try:
        return {tensor.name: to_array(items, tensor.dtype)}
    except RequestError:
        return None


def _add_row(found, name: str, value: Any, inputs: Mapping[str, Tensor], where: str) -> None:
    if name not in inputs:
        raise invalid(f"{where}JSON object: does not have named input: {name[:SHOWN]}")
    try:
        array = to_array(value, inputs[name].dtype)
    except RequestError as e:
        raise invalid(where + str(e)) from None
    before = found[name]
    if before and before[0].size != array.size:
        raise invalid(f"{where}Expecting tensor size: {before[0].size} but got: {array.size}")
    if before and before[0].shape != array.shape:
        raise invalid(f"{where}Expecting shape {_bracketed(before[0])} but got: {_bracketed(array)}")
    before.append(array)


def _bracketed(array: np.ndarray) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _only(inputs: Sequence[Tensor], what: str, wanted: str = "an object") -> Tensor:
    if len(inputs) != 1:
        raise invalid(
            f"{what}, but expecting {wanted} as multiple input tensors required as per tensorinfo_map: "
            f"{', '.join(t.name for t in inputs)}"
        )
    return inputs[0]


def is_binary(value: Any) -> bool:
    """Whether it is {"b64": text}."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def is_named(value: Any) -> bool:
    """Whether it is an object of named inputs."""
    return isinstance(value, dict) and not is_binary(value)


# ---------------------------------------------------------------- values


def to_array(value: Any, dtype: str) -> np.ndarray:
    """A JSON value as an array of that dtype. Raises RequestError where it is irregular or of another type."""
    kind = KINDS.get(dtype)
    if kind is None:
        raise RequestError("UNIMPLEMENTED", f"Conversion of JSON Value: {shown(value)} to type: {dtype}")
    if isinstance(value, np.ndarray):
        return _cast(value, value, dtype)
    if dtype != "string" and (array := _numbers(value, dtype)) is not None:
        return array
    shape = dense_shape(value)
    if len(shape) > DEEPEST:
        raise too_deep()
    leaves: list[Any] = []
    _collect(value, 0, shape, dtype, leaves)
    array = np.empty(len(leaves), numpy_type(dtype))
    for i, leaf in enumerate(leaves):
        array[i] = leaf
    return array.reshape(shape)


# dtype -> the kinds of NumPy's that its values may come in
KINDS = {
    **dict.fromkeys(("float16", "bfloat16", "float32", "float64"), "fiu"),
    **dict.fromkeys(("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"), "iu"),
    "bool": "b",
    "string": "",
}


def _numbers(value: Any, dtype: str) -> np.ndarray | None:
    """A regular list of numbers or of booleans; None where each value is to be looked at."""
    try:
        found = np.array(value)
    except (ValueError, OverflowError):
        return None
    if found.dtype.kind not in KINDS[dtype] or (found.dtype.kind != "b" and _has_booleans(value)):
        return None
    return _cast(found, value, dtype)


def _has_booleans(value: Any) -> bool:
    """NumPy takes them for numbers; JSON does not."""
    if not isinstance(value, list):
        return isinstance(value, bool)
    if value and not isinstance(value[0], list):
        return bool in set(map(type, value))
    return any(map(_has_booleans, value))


def _cast(array: np.ndarray, value: Any, dtype: str) -> np.ndarray:
    """Numbers as `dtype`, where they are: floats may lose digits, integers may not."""
    if array.dtype.kind not in KINDS[dtype] and array.size:
        raise _type_error(array.reshape(-1)[0], dtype)
    wanted = numpy_type(dtype)
    if wanted.kind in "iu" and array.size:
        limits = np.iinfo(wanted)
        low, high = int(array.min()), int(array.max())
        if low < limits.min or high > limits.max:
            raise _type_error(low if low < limits.min else high, dtype)
    with np.errstate(all="ignore"):
        return array.astype(wanted)


def dense_shape(value: Any) -> tuple[int, ...]:
    """The shape that the first element of each list has."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return tuple(shape)


def _collect(value: Any, level: int, shape: tuple[int, ...], dtype: str, leaves: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM. Expected at level: "
                f"{len(shape)}"
            )
        leaves.append(_leaf(value, dtype))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for item in value:
        _collect(item, level + 1, shape, dtype, leaves)


def _leaf(value: Any, dtype: str) -> Any:
    """One value as `dtype`."""
    if dtype == "string":
        if isinstance(value, str):
            return value.encode("utf-8", "surrogatepass")
        if isinstance(value, dict):
            return decode_binary(value)
        raise _type_error(value, dtype)
    if isinstance(value, (str, dict)) or value is None or isinstance(value, bool) != (dtype == "bool"):
        raise _type_error(value, dtype)
    return _cast(np.asarray(value), value, dtype)[()] if isinstance(value, (int, float, bool)) else value


def decode_binary(value: Any) -> bytes:
    """The bytes of {"b64": text}."""
    if not is_binary(value):
        raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    text = value["b64"]
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def _type_error(value: Any, dtype: str) -> RequestError:
    return invalid(f"JSON Value: {shown(value)} Type: {type_name(value)} is not of expected type: {dtype}")


def type_name(value: Any) -> str:
    """JSON's word for it."""
    if value is None or isinstance(value, (bool, np.bool_)):
        return {None: "Null", True: "True", False: "False"}[None if value is None else bool(value)]
    names = {dict: "Object", list: "Array", np.ndarray: "Array", str: "String"}
    return names.get(type(value), "Number")


def shown(value: Any) -> str:
    """A value in an error, cut to SHOWN characters without being written out whole."""
    room = SHOWN * 4  # iterations, so that a large value costs no more than a small one

    def cut(item: Any) -> Any:
        nonlocal room
        room -= 1
        if isinstance(item, np.ndarray):
            return cut(item[:SHOWN].tolist()) if item.ndim and room > 0 else "..."
        if isinstance(item, np.generic):
            return item.item()
        if isinstance(item, str):
            return item[:SHOWN]
        if isinstance(item, list):
            return [cut(v) for v in item[:SHOWN]] if room > 0 else []
        if isinstance(item, dict):
            return {k[:SHOWN]: cut(item[k]) for k in list(item)[:SHOWN]} if room > 0 else {}
        return item

    try:
        text = json.dumps(cut(value), ensure_ascii=False)
    except (ValueError, RecursionError):  # integers of thousands of digits
        text = "..."
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


# ---------------------------------------------------------------- answers


def write_outputs(outputs: Mapping[str, np.ndarray], *, rows: bool) -> bytes:
    """The answer to a predict request, in the form that it came in."""
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    values = {name: _plain(name, outputs[name]) for name in sorted(outputs)}
    if not rows:
        return write_json({"outputs": values if len(values) > 1 else next(iter(values.values()))})
    batch = -1
    for name in values:
        shape = np.shape(outputs[name])
        if not shape:
            raise invalid(f"Tensor name: {name} has no shape information, so it has no rows: send 'inputs' instead.")
        if batch not in (-1, shape[0]):
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {shape[0]} expecting: {batch}")
        batch = shape[0]
    if len(values) == 1:
        return write_json({"predictions": next(iter(values.values()))})
    return write_json({"predictions": [{name: v[i] for name, v in values.items()} for i in range(batch)]})


def _plain(name: str, array: np.ndarray) -> Any:
    """What JSON can hold of an output: an array of numbers, or lists of strings and of {"b64": ...}."""
    array = np.asarray(array)
    if array.dtype.kind in "OSU":
        return _texts(array.tolist(), binary=name.endswith("_bytes"))
    if array.dtype.name in ("float16", "bfloat16"):
        return array.astype(np.float32)
    if array.dtype.kind not in "fiub":
        raise invalid(f"Failed to write JSON value for tensor type: {array.dtype.name}")
    return np.ascontiguousarray(array).reshape(array.shape)


def _texts(value: Any, *, binary: bool) -> Any:
    if isinstance(value, list):
        return [_texts(v, binary=binary) for v in value]
    data = value if isinstance(value, bytes) else str(value).encode()
    if not binary:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return {"b64": base64.b64encode(data).decode("ascii")}


def write_json(value: Any) -> bytes:
    """JSON of a value with arrays in it: floats in their fewest digits, NaN and Infinity as such."""
    import orjson

    if not _all_finite(value):
        return json.dumps(_lists(value), ensure_ascii=False).encode()
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY, default=_lists)


def _all_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_all_finite, value.values()))
    if isinstance(value, list):
        return all(map(_all_finite, value))
    if isinstance(value, (np.ndarray, float)):
        kind = value.dtype.kind if isinstance(value, np.ndarray) else "f"
        return kind != "f" or bool(np.isfinite(value).all())
    return True


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _lists(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_lists(v) for v in value]
    if isinstance(value, np.ndarray) and value.dtype == np.float32:  # 0.2, not 0.20000000298023224
        return value.astype("U16").astype(np.float64).tolist()
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
