// The latent space of a VAE: a point is moved over the plane of codes, and its decoder draws.
// The decoder is three dense layers. LATENT_SPACE, its weights, is in decoder.js.

const REACH = 3.5; // codes shown, from -REACH to REACH
const SIDE = 384; // of the plane, in pixels
const STEP = 0.1; // of an arrow key

/** Numbers of 16 bits in base64 as a Float32Array. */
function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return Float32Array.from(new Uint16Array(bytes.buffer), (bits) => {
    const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
  });
}

/** The middle of each digit's codes. */
function findMiddles() {
  return LATENT_SPACE.colours.map((_, digit) => {
    const codes = LATENT_SPACE.codes.filter((_, index) => LATENT_SPACE.labels[index] === digit);
    return [0, 1].map((axis) => codes.map((code) => code[axis]).sort((a, b) => a - b)[codes.length >> 1]);
  });
}

const LAYERS = LATENT_SPACE.layers.map(({ shape, weight, bias }) => ({
  outputs: shape[0],
  inputs: shape[1],
  weight: unpack(weight),
  bias: unpack(bias),
}));

/** A layer's outputs, before the activation. */
function dense({ outputs, inputs, weight, bias }, x) {
  return Float32Array.from({ length: outputs }, (_, row) => {
    let sum = bias[row];
    for (let column = 0; column < inputs; column += 1) sum += weight[row * inputs + column] * x[column];
    return sum;
  });
}

/** The image of a code, its pixels in [0, 1], row by row. */
function decode(z) {
  const relu = (x) => x.map((value) => Math.max(value, 0));
  const logits = dense(LAYERS[2], relu(dense(LAYERS[1], relu(dense(LAYERS[0], z)))));
  return logits.map((value) => 1 / (1 + Math.exp(-value)));
}

/** A canvas with a name for those who cannot see it. */
function makeCanvas(kind, side, label, role) {
  const canvas = document.createElement("canvas");
  canvas.className = kind;
  canvas.width = canvas.height = side;
  canvas.setAttribute("role", role);
  canvas.setAttribute("aria-label", label);
  return canvas;
}

/** Make the plane and the digit, and let the point be moved. */
function explore(place) {
  const plane = makeCanvas("plane", SIDE, place.dataset.plane, "application");
  const digit = makeCanvas("digit", LATENT_SPACE.side, place.dataset.drawn, "img");
  const said = document.createElement("output");
  plane.tabIndex = 0;
  const side = document.createElement("div");
  side.append(digit, document.createElement("br"), said);
  place.append(plane, side);
  const [onPlane, onDigit] = [plane.getContext("2d"), digit.getContext("2d")];
  const middles = findMiddles();
  let z = [0, 0];

  const toPixels = ([x, y]) => [(x / REACH + 1) * SIDE / 2, (1 - y / REACH) * SIDE / 2];

  function draw() {
    onPlane.fillStyle = "white";
    onPlane.fillRect(0, 0, SIDE, SIDE);
    LATENT_SPACE.codes.forEach((code, index) => {
      const [x, y] = toPixels(code);
      onPlane.fillStyle = LATENT_SPACE.colours[LATENT_SPACE.labels[index]];
      onPlane.beginPath();
      onPlane.arc(x, y, 3, 0, 2 * Math.PI);
      onPlane.fill();
    });
    onPlane.font = "bold 20px sans-serif";
    onPlane.textAlign = "center";
    onPlane.textBaseline = "middle";
    onPlane.lineWidth = 4;
    middles.forEach((code, label) => {
      onPlane.strokeStyle = "white";
      onPlane.fillStyle = "black";
      onPlane.strokeText(label, ...toPixels(code));
      onPlane.fillText(label, ...toPixels(code));
    });
    const [x, y] = toPixels(z);
    onPlane.strokeStyle = "black";
    onPlane.lineWidth = 2;
    onPlane.beginPath();
    onPlane.arc(x, y, 8, 0, 2 * Math.PI);
    onPlane.stroke();
    const image = onDigit.createImageData(LATENT_SPACE.side, LATENT_SPACE.side);
    decode(z).forEach((value, index) => {
      const grey = Math.round(255 * value);
      image.data.set([grey, grey, grey, 255], 4 * index);
    });
    onDigit.putImageData(image, 0, 0);
    said.textContent = `z = (${z.map((value) => value.toFixed(2)).join(", ")})`;
  }

  function move(x, y) {
    z = [x, y].map((value) => Math.max(-REACH, Math.min(REACH, value)));
    draw();
  }

  function follow(event) {
    const box = plane.getBoundingClientRect();
    move(
      (2 * (event.clientX - box.left) / box.width - 1) * REACH,
      (1 - 2 * (event.clientY - box.top) / box.height) * REACH,
    );
  }

  plane.addEventListener("pointerdown", (event) => {
    plane.setPointerCapture(event.pointerId);
    follow(event);
  });
  plane.addEventListener("pointermove", (event) => {
    if (event.buttons) follow(event);
  });
  plane.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
    if (!(event.key in moves)) return;
    event.preventDefault();
    move(z[0] + moves[event.key][0], z[1] + moves[event.key][1]);
  });
  draw();
}

document.querySelectorAll(".explorer").forEach(explore);
