"""Writes a scaled, smoothly clipped ReLU network as an ONNX model, in the few protobuf messages that it takes.

Field numbers are those of onnx.proto3 (ONNX 1.x); no package is needed.
"""

import struct

FLOAT = 1


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, payload):
    """A field of length-delimited bytes, or of an integer."""
    if isinstance(payload, int):
        return varint(number << 3) + varint(payload)
    if isinstance(payload, str):
        payload = payload.encode()
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def tensor(name, shape, values):
    return b"".join(field(1, dim) for dim in shape) + field(2, FLOAT) + field(8, name) + field(
        9, struct.pack(f"<{len(values)}f", *values))


def node(operator, inputs, output):
    return (b"".join(field(1, name) for name in inputs) + field(2, output) + field(3, output) + field(4, operator))


def value_info(name, width):
    """float[batch, width]"""
    shape = field(1, field(2, "batch")) + field(1, field(1, width))
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, shape)))


def onnx_model(center, scale, clip, layers, inverse_temperature):
    """sigmoid(dense(relu(dense(... smooth_clip((x - center) * scale)))) * inverse_temperature), as bytes.

    `layers` are (weight rows by input, bias) lists of floats; x is [batch, inputs], the answer "y" [batch, 1].
    """
    width = len(center)
    initializers = [tensor("center", [width], center), tensor("scale", [width], scale),
                    tensor("inverse_limit", [1], [1.0 / clip]), tensor("one", [1], [1.0]),
                    tensor("inverse_temperature", [1], [inverse_temperature])]
    nodes = [node("Sub", ["x", "center"], "centered"), node("Mul", ["centered", "scale"], "u"),
             node("Mul", ["u", "inverse_limit"], "v"), node("Mul", ["v", "v"], "v2"),
             node("Add", ["v2", "one"], "w"), node("Sqrt", ["w"], "root"), node("Div", ["u", "root"], "h0")]
    last = "h0"
    for i, (weight, bias) in enumerate(layers):
        outputs = len(bias)
        initializers += [tensor(f"w{i}", [len(weight) // outputs, outputs], weight), tensor(f"b{i}", [outputs], bias)]
        nodes.append(node("Gemm", [last, f"w{i}", f"b{i}"], f"z{i}"))
        last = f"z{i}"
        if i + 1 < len(layers):
            nodes.append(node("Relu", [last], f"h{i + 1}"))
            last = f"h{i + 1}"
    nodes += [node("Mul", [last, "inverse_temperature"], "logit"), node("Sigmoid", ["logit"], "y")]
    graph = (b"".join(field(1, one) for one in nodes) + field(2, "network") +
             b"".join(field(5, one) for one in initializers) + field(11, value_info("x", width)) +
             field(12, value_info("y", 1)))
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 17))
