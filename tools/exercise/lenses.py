"""What each framework lets a grader see: tensors, layers, updates and their gradients."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from common.bridges.protocol import Arrays

Networks = dict[str, Any]
Watch = Callable[[Any, Any], None]  # takes a layer and its output


class Lens:
    """What all frameworks have; a subclass for each adds what differs.

    Attributes:
        bridge: the framework's module in `common.bridges`.
        network: the class of its networks.
    """

    bridge: Any  # more than the protocol: it is asked for a network's layers too
    network: type

    def copy(self, value: Any) -> Any:
        """A tensor of its own with the same numbers; None if the value is no tensor."""
        raise NotImplementedError

    def to_numpy(self, value: Any) -> np.ndarray | None:
        """A tensor's numbers; None if the value is no tensor."""
        raise NotImplementedError

    def parameters(self, network: Any) -> Iterator[tuple[str, Any, Any]]:
        """A network's parameters: name in a checkpoint, parameter, axes in the checkpoint."""
        raise NotImplementedError

    def layers(self, network: Any) -> dict[int, str]:
        """The names of a network's layers, by `id`."""
        raise NotImplementedError

    def watch_layers(self, watch: Watch) -> contextlib.AbstractContextManager[Any]:
        """Have `watch` called after each layer's call, for a while."""
        raise NotImplementedError

    def watch_updates(
        self,
        optimizer: Any,
        networks: Networks,
        begin: Callable[[Arrays, Arrays], None],
        end: Callable[[], None],
    ) -> None:
        """Have `begin` called before each update, and `end` after it.

        `begin` takes the gradients of the weights that are updated, and of all others.
        """
        raise NotImplementedError

    @contextlib.contextmanager
    def mode(self, network: Any, mode: Any) -> Iterator[None]:
        """Put a network into training or inference for a while, where that is a state."""
        yield

    def get_mode(self, network: Any) -> Any:
        """What `mode` takes: the present one."""
        return None

    def name_gradients(self, networks: Networks, gradient_of: Callable[[Any], Any]) -> Arrays:
        """Gradients by `NETWORK.NAME`, laid out as in a checkpoint; those that are there."""
        found: Arrays = {}
        for name, network in networks.items():
            for key, parameter, axes in self.parameters(network):
                gradient = gradient_of(parameter)
                if gradient is not None:
                    array = np.array(self.to_numpy(gradient))
                    found[f"{name}.{key}"] = array if axes is None else array.transpose(axes)
        return found


class _PyTorch(Lens):
    """Gradients lie in the parameters."""

    def __init__(self) -> None:
        import torch

        self.torch = torch
        self.bridge = importlib.import_module("common.bridges.pytorch")
        self.network = torch.nn.Module

    def copy(self, value: Any) -> Any:
        return value.detach().clone() if isinstance(value, self.torch.Tensor) else None

    def to_numpy(self, value: Any) -> np.ndarray | None:
        return value.detach().cpu().numpy() if isinstance(value, self.torch.Tensor) else None

    def parameters(self, network: Any) -> Iterator[tuple[str, Any, Any]]:
        for name, parameter in network.named_parameters():
            yield name, parameter, None

    def layers(self, network: Any) -> dict[int, str]:
        return {id(layer): name for name, layer in network.named_modules() if name}

    @contextlib.contextmanager
    def watch_layers(self, watch: Watch) -> Iterator[None]:
        hooks = self.torch.nn.modules.module
        handle = hooks.register_module_forward_hook(lambda layer, _, output: watch(layer, output))
        try:
            yield
        finally:
            handle.remove()

    def watch_updates(self, optimizer: Any, networks: Any, begin: Any, end: Any) -> None:
        step = optimizer.step
        own = {id(p) for group in optimizer.param_groups for p in group["params"]}

        def watched(*args: Any, **named: Any) -> Any:
            begin(
                self.name_gradients(networks, lambda p: p.grad if id(p) in own else None),
                self.name_gradients(networks, lambda p: None if id(p) in own else p.grad),
            )
            result = step(*args, **named)
            end()
            return result

        optimizer.step = watched

    @contextlib.contextmanager
    def mode(self, network: Any, mode: Any) -> Iterator[None]:
        before = network.training
        network.train(mode)
        try:
            yield
        finally:
            network.train(before)

    def get_mode(self, network: Any) -> Any:
        return network.training


class _Chainer(Lens):
    """Gradients lie in the parameters; what has none yet holds NaN."""

    def __init__(self) -> None:
        self.bridge = importlib.import_module("common.bridges.chainer")
        import chainer

        self.chainer: Any = chainer
        self.network = chainer.Link

    def copy(self, value: Any) -> Any:
        if not isinstance(value, self.chainer.Variable):
            return None
        return self.chainer.Variable(value.array.copy())

    def to_numpy(self, value: Any) -> np.ndarray | None:
        return value.array if isinstance(value, self.chainer.Variable) else None

    def parameters(self, network: Any) -> Iterator[tuple[str, Any, Any]]:
        for key, layer, name in self.bridge._entries(network):
            parameter = getattr(layer, name)
            if isinstance(parameter, self.chainer.Parameter):
                yield key, parameter, None

    def layers(self, network: Any) -> dict[int, str]:
        return {
            id(link): name.strip("/").replace("/", ".")
            for name, link in network.namedlinks(skipself=True)
        }

    @contextlib.contextmanager
    def watch_layers(self, watch: Watch) -> Iterator[None]:
        with _patched(self.chainer.Link, watch):
            yield

    def watch_updates(self, optimizer: Any, networks: Any, begin: Any, end: Any) -> None:
        update = optimizer.update
        # Until it is cleared or added to, a gradient is an array of NaN. What is added to that is
        # NaN too, in an array of its own.
        first = {
            id(p): p.grad
            for network in networks.values()
            for p in network.params(include_uninit=False)
        }

        def gradient(parameter: Any) -> Any:
            array = parameter.grad
            nothing = array is None or array is first.get(id(parameter))
            return None if nothing else self.chainer.Variable(array)

        def watched(lossfun: Any = None, *args: Any, **named: Any) -> None:
            if lossfun is not None:  # `update` makes the pass by itself
                loss = lossfun(*args, **named)
                optimizer.target.cleargrads()
                loss.backward()
            own = {id(p) for p in optimizer.target.params()}
            begin(
                self.name_gradients(networks, lambda p: gradient(p) if id(p) in own else None),
                self.name_gradients(networks, lambda p: None if id(p) in own else gradient(p)),
            )
            update()
            end()

        optimizer.update = watched

    @contextlib.contextmanager
    def mode(self, network: Any, mode: Any) -> Iterator[None]:
        with self.chainer.using_config("train", mode):
            yield

    def get_mode(self, network: Any) -> Any:
        return self.chainer.config.train


class _TensorFlow(Lens):
    """Functions run line by line, not as graphs; gradients are what an optimiser is given."""

    def __init__(self) -> None:
        import tensorflow as tf

        self.tf = tf
        tf.config.run_functions_eagerly(True)
        self.bridge = importlib.import_module("common.bridges.tensorflow")
        self.network = tf.Module

    def copy(self, value: Any) -> Any:
        return self.tf.identity(value) if self.tf.is_tensor(value) else None

    def to_numpy(self, value: Any) -> np.ndarray | None:
        return value.numpy() if self.tf.is_tensor(value) else None

    def parameters(self, network: Any) -> Iterator[tuple[str, Any, Any]]:
        for key, (variable, layout) in self.bridge._entries(network).items():
            if variable.trainable:
                yield key, variable, layout

    def layers(self, network: Any) -> dict[int, str]:
        found: dict[int, str] = {}

        def walk(module: Any, prefix: str) -> None:
            for name, value in vars(module).items():
                children = value if isinstance(value, list | tuple) else [value]
                for index, child in enumerate(children):
                    if isinstance(child, self.tf.Module):
                        place = f"{prefix}{name}" + (f".{index}" if child is not value else "")
                        found.setdefault(id(child), place)
                        walk(child, f"{place}.")

        walk(network, "")
        return found

    @contextlib.contextmanager
    def watch_layers(self, watch: Watch) -> Iterator[None]:
        layers = importlib.import_module("layers")  # of the scripts' folder
        kinds = [kind for kind in vars(layers).values() if isinstance(kind, type)]
        with contextlib.ExitStack() as stack:
            for kind in kinds:
                if "__call__" in vars(kind):
                    stack.enter_context(_patched(kind, watch))
            yield

    def watch_updates(self, optimizer: Any, networks: Any, begin: Any, end: Any) -> None:
        apply = optimizer.apply

        def watched(gradients: Any, *args: Any, **named: Any) -> Any:
            targets = zip(optimizer.targets, gradients, strict=False)
            by_id = {id(variable): gradient for variable, gradient in targets}
            begin(self.name_gradients(networks, lambda v: by_id.get(id(v))), {})
            result = apply(gradients, *args, **named)
            end()
            return result

        optimizer.apply = watched


class _Keras(Lens):
    """On TensorFlow, line by line; a trainer's optimiser is what is watched."""

    def __init__(self) -> None:
        import tensorflow as tf

        tf.config.run_functions_eagerly(True)
        import keras

        self.keras: Any = keras
        self.bridge = importlib.import_module("common.bridges.keras")
        self.network = keras.Model

    def copy(self, value: Any) -> Any:
        return self.keras.ops.copy(value) if self.keras.ops.is_tensor(value) else None

    def to_numpy(self, value: Any) -> np.ndarray | None:
        if not self.keras.ops.is_tensor(value) and not isinstance(value, self.keras.Variable):
            return None
        return self.keras.ops.convert_to_numpy(value)

    def parameters(self, network: Any) -> Iterator[tuple[str, Any, Any]]:
        for key, variable, axes in self.bridge._parameters(network):
            if not key.endswith(("running_mean", "running_var")):
                yield key, variable, axes

    def layers(self, network: Any) -> dict[int, str]:
        return {id(layer): name for name, layer in self.bridge._layers(network) if layer.weights}

    @contextlib.contextmanager
    def watch_layers(self, watch: Watch) -> Iterator[None]:
        with _patched(self.keras.Layer, watch):
            yield

    def watch_updates(self, optimizer: Any, networks: Any, begin: Any, end: Any) -> None:
        inner = optimizer.optimizer  # of a trainer
        apply = inner.apply

        def watched(gradients: Any, variables: Any = None) -> Any:
            variables = inner._trainable_variables if variables is None else variables
            targets = zip(variables, gradients, strict=False)
            by_id = {id(variable): gradient for variable, gradient in targets}
            begin(self.name_gradients(networks, lambda v: by_id.get(id(v))), {})
            result = apply(gradients, variables)
            end()
            return result

        inner.apply = watched


@contextlib.contextmanager
def _patched(kind: Any, watch: Watch) -> Iterator[None]:
    """A class whose instances tell when they have been called."""
    call = kind.__call__

    def watched(layer: Any, *args: Any, **named: Any) -> Any:
        output = call(layer, *args, **named)
        watch(layer, output)
        return output

    kind.__call__ = watched
    try:
        yield
    finally:
        kind.__call__ = call


LENSES = {"pytorch": _PyTorch, "tensorflow": _TensorFlow, "keras": _Keras, "chainer": _Chainer}
