"""neural-tangents at the gate."""

import jax

jax.config.update("jax_enable_x64", True)
import numpy as np  # noqa: E402
from adapter.protocol import Skip, serve  # noqa: E402
from neural_tangents import stax  # noqa: E402


def layers(specs, weight, bias):
    out = []
    for spec in specs:
        kind = spec["type"]
        if kind == "dense":
            out.append(stax.Dense(1, W_std=weight, b_std=bias, parameterization="ntk"))
        elif kind == "conv":
            padding = spec["padding"]
            if not isinstance(padding, str):
                raise Skip("padding by numbers is not offered")
            out.append(
                stax.Conv(1, tuple(spec["kernel"]), tuple(spec.get("stride") or (1, 1)), padding.upper(), W_std=weight, b_std=bias)
            )
        elif kind == "relu":
            out.append(stax.Relu())
        elif kind == "erf":
            out.append(stax.Erf())
        elif kind == "flatten":
            out.append(stax.Flatten())
        elif kind == "avg_pool":
            out.append(stax.AvgPool(tuple(spec["size"]), tuple(spec.get("stride") or spec["size"])))
        elif kind == "global_avg_pool":
            out.append(stax.GlobalAvgPool())
        elif kind == "residual":
            branch = stax.serial(*layers(spec["branch"], weight, bias)) if spec["branch"] else stax.Identity()
            short = stax.serial(*layers(spec["shortcut"], weight, bias)) if spec.get("shortcut") else stax.Identity()
            out.append(stax.serial(stax.FanOut(2), stax.parallel(branch, short), stax.FanInSum()))
        else:
            raise Skip(f"layer {kind} has no closed form in the package")
    return out


def answer(request):
    architecture = request["architecture"]
    x = np.load(request["inputs"]).astype(float)
    shape = architecture["input"]
    if len(shape) == 3:
        # The gate's inputs are channels, height, width; the package's are height, width, channels.
        x = x.reshape(-1, *shape).transpose(0, 2, 3, 1)
        if architecture["layers"][0]["type"] == "dense":
            x = x.reshape(len(x), -1)
    _, _, kernel = stax.serial(*layers(architecture["layers"], architecture["weight_std"], architecture["bias_std"]))
    return {"gram": np.asarray(kernel(x, None, request["kernel"]), float).tolist()}


serve(answer)
