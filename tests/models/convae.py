"""The convolutional autoencoder; Masci and others (2011). Trained as the linear one."""

from __future__ import annotations

from tests.models.ae import Autoencoder
from tests.models.description import Config, ImageShape, Model, Weights, conv, deconv
from tests.reference.autograd import Value, relu
from tests.reference.layers import max_pool2d


def networks(image_shape: ImageShape, config: Config, classes: int) -> dict[str, Weights]:
    channels = image_shape[-1]
    return {
        "encoder": conv("conv1", channels, 32, 3, "glorot") | conv("conv2", 32, 16, 3, "glorot"),
        "decoder": deconv("deconv1", 16, 32, 2, "glorot")
        | deconv("deconv2", 32, channels, 2, "glorot"),
    }


class ConvolutionalAutoencoder(Autoencoder):
    def restore(self, x: Value) -> Value:
        """Halve twice, double twice; no activation on the output."""
        x = max_pool2d(relu(self.encoder.conv("conv1", x, stride=1, padding=1)), 2, 2)
        x = max_pool2d(relu(self.encoder.conv("conv2", x, stride=1, padding=1)), 2, 2)
        x = relu(self.decoder.deconv("deconv1", x, stride=2))
        return self.decoder.deconv("deconv2", x, stride=2)


MODEL = Model(
    defaults={"dataset": "newts", "steps": 1000, "batch_size": 64, "learning_rate": 1e-3},
    proof={"image_size": 16, "batch_size": 4, "learning_rate": 5e-4},
    networks=networks,
    classes={"encoder": "Encoder", "decoder": "Decoder"},
    optimizers={"autoencoder": ("encoder", "decoder")},
    losses=("reconstruction_loss",),
    reference=ConvolutionalAutoencoder,
    size_multiple=4,
)
