"""JSON to arrays and back: the cases of TensorFlow Serving's json_tensor_test.cc as values, and what is ours."""

import json
import math
import tracemalloc

import numpy as np
import pytest
from google.protobuf import text_format

from visionport.formats.base import Tensor
from visionport.serving import examples, inference, json_tensors
from visionport.serving.messages import message
from visionport.serving.statuses import RequestError

NAN, INF = math.nan, math.inf


def tensors(**dtypes: str) -> list[Tensor]:
    return [Tensor(name=name, dtype=dtype, shape=()) for name, dtype in dtypes.items()]


def read(body: str | bytes, inputs: list[Tensor]):
    content = json_tensors.read_json(body if isinstance(body, bytes) else body.encode())
    return json_tensors.read_signature_name(content), *json_tensors.read_inputs(content, inputs)


def array(dtype: str, values):
    return np.array(values, object if dtype == "string" else dtype)


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert found[name].dtype == wanted[name].dtype
        np.testing.assert_array_equal(found[name], wanted[name])


BIG = 1.7976931348623157e308  # of float64
SMALL = 2.2250738585072014e-308
ROWS = [[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 0], [1, 2]]]

# Body, inputs, what they are, whether it came in rows, the signature.
TAKEN = [
    ('{"instances": [[1,2],[3,4],[5,6]]}', {"default": "int32"}, {"default": [[1, 2], [3, 4], [5, 6]]}, True, ""),
    (
        '{"instances": [1, 2.0, 3, 4, 5.003, 0.007, 0.0]}',
        {"default": "float32"},
        {"default": [1, 2, 3, 4, 5.003, 0.007, 0]},
        True,
        "",
    ),
    (
        '{"instances": [1.0, 2, 3, 4, 0.662, 0, 0.0]}',
        {"default": "float64"},
        {"default": [1, 2, 3, 4, 0.662, 0, 0]},
        True,
        "",
    ),
    ('{"instances": [1435774380]}', {"default": "float32"}, {"default": [1435774336]}, True, ""),
    ('{"instances": [1435774380.0]}', {"default": "float32"}, {"default": [1435774336]}, True, ""),
    (f'{{"instances": [{BIG!r}]}}', {"default": "float32"}, {"default": [INF]}, True, ""),
    (f'{{"instances": [{-BIG!r}]}}', {"default": "float32"}, {"default": [-INF]}, True, ""),
    (f'{{"instances": [{SMALL!r}]}}', {"default": "float32"}, {"default": [0.0]}, True, ""),
    (f'{{"instances": [{-SMALL!r}]}}', {"default": "float32"}, {"default": [-0.0]}, True, ""),
    (
        '{"signature_name": "predict_images", "instances": [[1,2]]}',
        {"default": "int32"},
        {"default": [[1, 2]]},
        True,
        "predict_images",
    ),
    (
        '{"instances": [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}]}',
        {"default": "string"},
        {"default": [b"hello", b"world"]},
        True,
        "",
    ),
    (
        '{"instances": [[{"b64": "aGVsbG8="}], [{"b64": "d29ybGQ="}]]}',
        {"default": "string"},
        {"default": [[b"hello"], [b"world"]]},
        True,
        "",
    ),
    (
        '{"instances": [{"default": [[{"b64": "aGVsbG8="}], [{"b64": "d29ybGQ="}]]}]}',
        {"default": "string"},
        {"default": [[[b"hello"], [b"world"]]]},
        True,
        "",
    ),
    (
        """{"instances": [
            {"int_tensor": [[1,2],[3,4],[5,6]], "str_tensor": ["foo", "bar"], "float_tensor": [1.0, NaN],
             "dbl_tensor": [NaN]},
            {"int_tensor": [[7,8],[9,0],[1,2]], "str_tensor": ["baz", "bat"], "float_tensor": [2.0, Infinity],
             "dbl_tensor": [2.0]}]}""",
        {"int_tensor": "int32", "str_tensor": "string", "float_tensor": "float32", "dbl_tensor": "float64"},
        {
            "int_tensor": ROWS,
            "str_tensor": [[b"foo", b"bar"], [b"baz", b"bat"]],
            "float_tensor": [[1, NAN], [2, INF]],
            "dbl_tensor": [[NAN], [2]],
        },
        True,
        "",
    ),
    (
        '{"inputs": {"int_tensor": [[[1,2],[3,4],[5,6]]]}}',
        {"int_tensor": "int32"},
        {"int_tensor": ROWS[:1]},
        False,
        "",
    ),
    ('{"inputs": [[[1,2],[3,4],[5,6]]]}', {"int_tensor": "int32"}, {"int_tensor": ROWS[:1]}, False, ""),
    (
        """{"inputs": {"int_tensor": [[[1,2],[3,4],[5,6]]], "str_tensor": ["foo", "bar"],
            "bin_tensor": {"b64": "aGVsbG8="}}}""",
        {"int_tensor": "int32", "str_tensor": "string", "bin_tensor": "string"},
        {"int_tensor": ROWS[:1], "str_tensor": [b"foo", b"bar"], "bin_tensor": b"hello"},
        False,
        "",
    ),
    # Ours, of the documents: scalars, booleans, a base64 value without its padding, text that is no ASCII.
    ('{"inputs": 7}', {"n": "int64"}, {"n": 7}, False, ""),
    ('{"inputs": 3}', {"n": "uint8"}, {"n": 3}, False, ""),
    ('{"inputs": [[]]}', {"n": "float32"}, {"n": [[]]}, False, ""),
    ('{"instances": [true, false]}', {"b": "bool"}, {"b": [True, False]}, True, ""),
    ('{"instances": [{"b64": "aGVsbG8"}]}', {"s": "string"}, {"s": [b"hello"]}, True, ""),
    ('{"instances": ["grün"]}', {"s": "string"}, {"s": ["grün".encode()]}, True, ""),
    (
        '{"instances": [9223372036854775807, -9223372036854775808]}',
        {"n": "int64"},
        {"n": [2**63 - 1, -(2**63)]},
        True,
        "",
    ),
    ('{"instances": [18446744073709551615]}', {"n": "uint64"}, {"n": [2**64 - 1]}, True, ""),
    ('{"instances": [1e2, 1.5, -0.5]}', {"n": "float16"}, {"n": [100, 1.5, -0.5]}, True, ""),
]


@pytest.mark.parametrize(("body", "inputs", "wanted", "rows", "signature"), TAKEN)
def test_what_is_taken(body, inputs, wanted, rows, signature):
    name, found, came_in_rows = read(body, tensors(**inputs))
    assert (name, came_in_rows) == (signature, rows)
    assert_same(found, {key: array(inputs[key], value) for key, value in wanted.items()})


def test_the_sign_of_what_is_too_small():
    found = read(f'{{"instances": [{-SMALL!r}]}}', tensors(n="float32"))[1]["n"]
    assert math.copysign(1, found[0]) == -1


ONE = {"default": "int32"}
TWO = {"int_tensor": "int32", "str_tensor": "string"}
DEEP = "[" * 500_000 + "]" * 500_000

# Body, inputs, what is said of it.
REFUSED = [
    ("", ONE, "document is empty"),
    ('{"signature_name": 5, "instances": [[1,2],[3,4],[5,6,7]]}', ONE, "must be a string value"),
    ('{"instances": [[1,2],[3,4],[5,6,7]], "inputs": [[1,2],[3,4],[5,6,7]]}', ONE, "Not formatted correctly"),
    ('{"instances": [[1,2],[3,4],[5,6,7]]}', ONE, "Expecting tensor size"),
    ('{"instances": [[1,2],[3,4],[[5,6]]]}', ONE, "Expecting shape"),
    ('{"instances": [1, [1]]}', ONE, "Expecting shape"),
    ('{"instances": [[1,2],["a", "b"]]}', ONE, "not of expected type"),
    (
        """{"instances": [{"int_tensor": [[1,2],[3,4],[5,6]], "str_tensor": ["foo", "bar"]},
            {"int_tensor": [[[7,8],[9,0],[1,2]]], "str_tensor": ["baz", "bat"]}]}""",
        TWO,
        "Expecting shape",
    ),
    (
        """{"instances": [{"int_tensor": [[1,2],[3,4],[5,6],[7,8]], "str_tensor": ["foo", "bar"]},
            {"int_tensor": [[7,8],[9,0],[1,2]], "str_tensor": ["baz", "bat"]}]}""",
        TWO,
        "Expecting tensor size",
    ),
    (
        """{"instances": [{"int_tensor": [[1,2],[3,4],[5,6]], "str_tensor": ["foo", "bar"]}, [1, 20, 30]]}""",
        TWO,
        "Expecting object but got list",
    ),
    (
        '{"instances": [["baz", "bar"], {"str_tensor": ["baz", "bat"]}]}',
        {"str_tensor": "string"},
        "Expecting value/list but got object",
    ),
    # TensorFlow Serving takes the first of these: it ignores keys that it does not know, however deep they are.
    (f'{{"instances": [1], "nested": {DEEP}}}', ONE, "nested too deep"),
    (f'{{"signature_name": {DEEP}}}', ONE, "nested too deep"),
    (f'{{"instances": {DEEP}}}', ONE, "nested too deep"),
    ('{"instances": [' + '{"a": ' * 900 + "1" + "}" * 900 + "]}", ONE, "does not have named input: a"),
    ('{"instances": ' + "[" * 900 + "1" + "]" * 900 + "}", ONE, "nested too deep"),
    # Ours.
    ("[1, 2]", ONE, "Is not object"),
    ('{"instances": [1, 2', ONE, "JSON Parse error"),
    ('{"instances": [1, 2]} more', ONE, "JSON Parse error"),
    ('{"instances": []}', ONE, "No values in 'instances' array"),
    ('{"instances": 5}', ONE, "Expecting 'instances' to be an list/array"),
    ('{"examples": [1]}', ONE, "Missing 'inputs' or 'instances' key"),
    ('{"instances": [[1, 2]]}', TWO, "expecting list of objects as multiple input tensors required"),
    ('{"inputs": [[1, 2]]}', TWO, "expecting an object as multiple input tensors required"),
    ('{"inputs": {"int_tensor": [1]}}', TWO, "Missing named input: str_tensor"),
    ('{"instances": [{"int_tensor": 1}]}', TWO, "keys must be equal to: int_tensor,str_tensor"),
    ('{"instances": [{"int": 1}]}', TWO, "does not have named input: int"),
    ('{"instances": [1.0]}', ONE, "1.0 Type: Number is not of expected type: int32"),
    ('{"instances": [true]}', ONE, "true Type: True is not of expected type: int32"),
    ('{"instances": [1, true]}', ONE, "not of expected type: int32"),
    ('{"instances": [1, true]}', {"n": "float32"}, "not of expected type: float32"),
    ('{"instances": [null]}', {"n": "float32"}, "null Type: Null is not of expected type: float32"),
    ('{"instances": [0, 1]}', {"n": "bool"}, "not of expected type: bool"),
    ('{"instances": [256]}', {"n": "uint8"}, "256 Type: Number is not of expected type: uint8"),
    ('{"instances": [-1]}', {"n": "uint8"}, "-1 Type: Number is not of expected type: uint8"),
    ('{"instances": [5]}', {"n": "string"}, "5 Type: Number is not of expected type: string"),
    ('{"instances": [{"b64": "aGVsbG8="}]}', ONE, "Type: Object is not of expected type: int32"),
    ('{"instances": [{"b64": "@@@@"}]}', {"s": "string"}, "Unable to base64 decode"),
    ('{"inputs": {"s": {"b64": 5}}}', {"s": "string"}, "not formatted correctly for base64 data"),
    (f'{{"instances": [{"9" * 5000}]}}', {"n": "float32"}, ""),
    ('{"instances": [1' + "0" * 400 + "]}", {"n": "int64"}, "not of expected type: int64"),
    ('{"instances": [1]}', {"n": "complex64"}, "Conversion of JSON Value"),
    (b'{"instances": ["\xff\xfe"]}', {"s": "string"}, "JSON Parse error"),
]


@pytest.mark.parametrize(("body", "inputs", "said"), REFUSED)
def test_what_is_refused(body, inputs, said):
    with pytest.raises(RequestError) as error:
        read(body, tensors(**inputs))
    assert said in str(error.value)
    assert len(str(error.value)) < 1000


def test_a_large_list_is_read_as_a_small_one():
    """NumPy reads the list, JSON what is around it."""
    pixels = np.random.default_rng(1).integers(0, 256, (2, 150, 100, 3))
    for value, dtype in ((pixels, "uint8"), (pixels / 255, "float32"), (-pixels, "int16"), (pixels * 1e-9, "float64")):
        whole, one = json.dumps(value.tolist()), json.dumps(value[0].tolist(), indent=1)
        bodies = {
            f'{{"instances": {whole}}}': value,
            f' {{ "signature_name" : "a" , "inputs" : {{ "x" : {whole} }} }} ': value,
            f'{{"instances": [{{"x": {one}}}], "signature_name": "a]["}}': value[:1],
            f'{{"other": [[1], [2]], "inputs": {whole}}}': value,
            json.dumps({"instances": [{"x": row.tolist()} for row in value]}): value,
        }
        for body, wanted in bodies.items():
            assert len(body) > json_tensors.FAST
            assert_same(read(body, tensors(x=dtype))[1], {"x": wanted.astype(dtype)})


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("[1]", "Expecting tensor size"),
        ("[1,2,3]", "Expecting tensor size"),
        ("[1,,2]", "JSON Parse error"),
        ("[1,2-]", "JSON Parse error"),
        ("[1,--2]", "JSON Parse error"),
        ("[1,1e]", "JSON Parse error"),
        ("[1,2.5]", "not of expected type: int32"),
        ("[1,99999999999999999999]", "not of expected type: int32"),
        ("[1,9223372036854775807]", "not of expected type: int32"),
        ("[1,2]]", "JSON Parse error"),
        ("[[1,2]]", "Expecting shape"),
        ("[1,[2]]", ""),
        ("[1 2,3]", "JSON Parse error"),
        ("[1,2]3", "JSON Parse error"),
        ("3[1,2]", "JSON Parse error"),
        ("[1,2 ]-", "JSON Parse error"),
        ("[1,NaN]", "not of expected type"),
    ],
)
def test_a_fault_in_a_large_list_is_found(item, said):
    for place in (0, 10_000, -1):
        items = ["[1,2]"] * 20_000
        items[place] = item
        body = f'{{"instances": [{",".join(items)}]}}'
        with pytest.raises(RequestError) as error:
            read(body, tensors(default="int32"))
        assert said in str(error.value)


def test_a_list_in_a_string_stays_one():
    inside = "[" + "1," * 60_000 + "1]"
    assert read(json.dumps({"inputs": inside}), tensors(s="string"))[1]["s"][()] == inside.encode()
    assert json_tensors.read_json(json.dumps({"a": [inside], "b": [[inside]]}).encode()) == {
        "a": [inside],
        "b": [[inside]],
    }


def test_errors_do_not_write_out_what_was_sent():
    body = json.dumps({"instances": [list(range(200_000)), "x" * 5_000_000]})
    tracemalloc.start()
    with pytest.raises(RequestError) as error:
        json_tensors.read_inputs({"inputs": {"a": json.loads(body)["instances"]}}, tensors(b="int32"))
    tracemalloc.stop()
    assert len(str(error.value)) < 600


# ---------------------------------------------------------------- answers

OUTPUTS = [
    ({"n": ("int32", ROWS)}, '{"predictions": [[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 0], [1, 2]]]}', True),
    ({"n": ("int32", ROWS)}, '{"outputs": [[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 0], [1, 2]]]}', False),
    ({"n": ("int32", [1, 2, 3, 4, 5])}, '{"predictions": [1, 2, 3, 4, 5]}', True),
    ({"n": ("int32", [1, 2, 3, 4, 5])}, '{"outputs": [1, 2, 3, 4, 5]}', False),
    (
        {"s_bytes": ("string", [b"hello", b"world"])},
        '{"predictions": [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}]}',
        True,
    ),
    (
        {"n": ("float32", [[9000000, 999999, 0.5], [0.0003, 0.00003, 555557.5]])},
        '{"predictions": [[9000000.0, 999999.0, 0.5], [0.0003, 0.00003, 555557.5]]}',
        True,
    ),
    ({"n": ("float32", [[NAN, INF], [3, -INF]])}, '{"predictions": [[NaN, Infinity], [3.0, -Infinity]]}', True),
    ({"n": ("float32", [[0.2, INF], [0.1, NAN]])}, '{"outputs": [[0.2, Infinity], [0.1, NaN]]}', False),
    (
        {
            "int_tensor": ("int32", ROWS),
            "str_tensor": ("string", [[b"foo", b"bar"], [b"baz", b"bat"]]),
            "float_tensor": ("float32", [[1], [2]]),
            "double_scalar_tensor": ("float64", [8, 9]),
            "str_tensor_bytes": ("string", [[b"hello", b"world"], [b"tf", b"serving"]]),
        },
        """{"predictions": [
            {"double_scalar_tensor": 8.0, "float_tensor": [1.0], "int_tensor": [[1, 2], [3, 4], [5, 6]],
             "str_tensor": ["foo", "bar"], "str_tensor_bytes": [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}]},
            {"double_scalar_tensor": 9.0, "float_tensor": [2.0], "int_tensor": [[7, 8], [9, 0], [1, 2]],
             "str_tensor": ["baz", "bat"], "str_tensor_bytes": [{"b64": "dGY="}, {"b64": "c2VydmluZw=="}]}]}""",
        True,
    ),
    (
        {"d": ("float64", [8, 9]), "s_bytes": ("string", [[b"hello"], [b"tf"]])},
        '{"outputs": {"d": [8.0, 9.0], "s_bytes": [[{"b64": "aGVsbG8="}], [{"b64": "dGY="}]]}}',
        False,
    ),
    ({"n": ("int32", np.zeros((0, 2)))}, '{"predictions": []}', True),
    ({"s": ("string", np.zeros((0, 1, 2))), "f": ("float32", np.zeros((0, 3, 4)))}, '{"predictions": []}', True),
    # Ours.
    ({"h": ("float16", [0.5, 2])}, '{"predictions": [0.5, 2.0]}', True),
    ({"b": ("bool", [True, False])}, '{"predictions": [true, false]}', True),
    ({"s": ("string", [b"\xff"])}, '{"predictions": [{"b64": "/w=="}]}', True),
    ({"n": ("uint64", 2**64 - 1)}, '{"outputs": 18446744073709551615}', False),
    ({"n": ("float32", 0.1)}, '{"outputs": 0.1}', False),
]


@pytest.mark.parametrize(("outputs", "wanted", "rows"), OUTPUTS)
def test_what_is_written(outputs, wanted, rows):
    """Compared digit by digit: a number is what its text is."""
    found = json_tensors.write_outputs({name: array(*given) for name, given in outputs.items()}, rows=rows)
    assert digits(found) == digits(wanted)


def digits(text):
    """JSON whose numbers are told apart as integers and floats, NaN equal to itself."""
    return repr(json.loads(text))


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ({}, "empty tensor map"),
        ({"t": ("complex64", [1, 2])}, "tensor type: complex64"),
        ({"t": ("int32", 1)}, "no shape information"),
        ({"a": ("int32", [[1, 2, 3], [4, 5, 6]]), "b": ("string", [[b"foo"]])}, "inconsistent batch size"),
        ({"a": ("int32", np.zeros((0, 2))), "b": ("string", [[b"foo", b"bar"]])}, "inconsistent batch size"),
    ],
)
def test_what_cannot_be_written(outputs, said):
    with pytest.raises(RequestError, match=said):
        json_tensors.write_outputs({name: array(*given) for name, given in outputs.items()}, rows=True)


# ---------------------------------------------------------------- examples

PLAIN = (
    """{"examples": [{"names": ["foo", "bar"], "ratings": [8.0, 9.0], "age": 20},
        {"names": ["baz"], "ratings": 6.0}]}""",
    """example_list {
        examples { features {
            feature { key: "names" value { bytes_list { value: "foo" value: "bar" } } }
            feature { key: "ratings" value { float_list { value: 8.0 value: 9.0 } } }
            feature { key: "age" value { int64_list { value: 20 } } } } }
        examples { features {
            feature { key: "names" value { bytes_list { value: "baz" } } }
            feature { key: "ratings" value { float_list { value: 6.0 } } } } } }""",
)
WITH_CONTEXT = (
    """{"signature_name": "custom_signture", "context": {"query": "pizza", "location": ["sfo"]}, "examples": [
        {"names": ["foo", "bar"], "ratings": [8.0, 9.0, NaN, Infinity], "age": 20},
        {"names": ["baz", {"b64": "aGVsbG8="}], "ratings": 6.0, "intboolmix": [1, true, false]},
        {"names": "bar", "ratings": -Infinity}]}""",
    """example_list_with_context {
        context { features {
            feature { key: "query" value { bytes_list { value: "pizza" } } }
            feature { key: "location" value { bytes_list { value: "sfo" } } } } }
        examples { features {
            feature { key: "names" value { bytes_list { value: "foo" value: "bar" } } }
            feature { key: "ratings" value { float_list { value: 8.0 value: 9.0 value: nan value: inf } } }
            feature { key: "age" value { int64_list { value: 20 } } } } }
        examples { features {
            feature { key: "names" value { bytes_list { value: "baz" value: "hello" } } }
            feature { key: "ratings" value { float_list { value: 6.0 } } }
            feature { key: "intboolmix" value { int64_list { value: 1 value: 1 value: 0 } } } } }
        examples { features {
            feature { key: "names" value { bytes_list { value: "bar" } } }
            feature { key: "ratings" value { float_list { value: -inf } } } } } }""",
)


@pytest.mark.parametrize(("body", "wanted"), [PLAIN, WITH_CONTEXT])
def test_examples(body, wanted):
    found = examples.read_input(json_tensors.read_json(body.encode()))
    wanted = text_format.Parse(wanted, message("Input")())
    assert text_format.MessageToString(found) == text_format.MessageToString(wanted)


def test_the_context_is_part_of_each_example():
    given = text_format.Parse(WITH_CONTEXT[1], message("Input")())
    found = [message("tensorflow.Example").FromString(e) for e in examples.serialize(given)]
    assert [sorted(e.features.feature) for e in found] == [
        ["age", "location", "names", "query", "ratings"],
        ["intboolmix", "location", "names", "query", "ratings"],
        ["location", "names", "query", "ratings"],
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            '{"signature_name": ["hello"], "examples": [{"names": ["foo", "bar"]}]}',
            "'signature_name' key must be a string",
        ),
        ('{"context": [{"names": ["foo", "bar"]}]}', "Example must be JSON object"),
        ('{"examples": {"names": ["foo", "bar"]}}', "list/array"),
        ('{"examples": [[{"names": ["foo", "bar"]}]]}', "Example must be JSON object"),
        ('{"examples": [{"names": [10, null]}]}', "names has element with unexpected JSON type: Null"),
        ('{"examples": [{"names": [10, 10.0]}]}', "feature: names expecting type: int64"),
        ('{"examples": [{"names": [10, {"test": 10}]}]}', "names has element with unexpected JSON type: Object"),
        ('{"examples": [{"names": [[10], 20]}]}', "names has element with unexpected JSON type: Array"),
        ('{"examples": [{"names": [20, 18446744073709551603]}]}', "Only int64_t is supported"),
        ('{"examples": []}', "'examples' value is an empty array"),
        ('{"instances": []}', "key 'examples' is expected"),
        (f'{{"examples": [{{"n": -{"9" * 30}, "m": NaN}}]}}', "below int64"),
    ],
)
def test_examples_that_are_refused(body, said):
    content = json_tensors.read_json(body.encode())
    with pytest.raises(RequestError) as error:
        [json_tensors.read_signature_name(content), examples.read_input(content)]
    assert said in str(error.value)


def test_results():
    scores = np.array([[0.2, 0.7, 0.1], [0.7, 0.1, 0.2]], np.float32)
    labels = np.array([[b"car", b"bike", b"bus"]] * 2, object)
    found = inference.classifications({"classes": labels, "scores": scores}, 2)
    rows = [[(c.label, np.float32(c.score)) for c in one.classes] for one in found.classifications]
    assert rows == [[*zip(("car", "bike", "bus"), row, strict=True)] for row in scores]
    values = inference.regressions({"outputs": np.array([[0.2], [INF], [-INF]], np.float32)}, 3)
    assert [v.value for v in values.regressions] == [np.float32(0.2), INF, -INF]


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ({"scores": np.zeros((1, 2, 3), np.float32)}, "batch_size num_classes"),
        ({"scores": np.zeros((1, 2))}, "Expected scores Tensor of float32"),
        ({"scores": np.zeros((2, 2), np.float32)}, "batch size of 1. Got: 2"),
        ({"scores": np.zeros((1, 2), np.float32), "classes": array("string", [["a"]])}, "should match"),
    ],
)
def test_results_that_are_none(outputs, said):
    with pytest.raises(RequestError, match=said):
        inference.classifications(outputs, 1)
