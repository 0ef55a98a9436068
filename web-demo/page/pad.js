/**
 * A pad to draw on, by mouse, finger or keyboard.
 */
import { normalised } from './digit.js';

/** Pixels on each side of the drawing. */
const SIDE = 280;
/** Of the pen, about what a digit's strokes are beside its size in MNIST. */
const WIDTH = 24;
/** How far an arrow key moves the pen. */
const STRIDE = 10;

/** Draws and says what was drawn, as a network sees it. */
export class Pad {
  #canvas;
  /** What is drawn, in white on black, whatever the colours of the page. */
  #ink;
  #onDrawn;
  /** Where the pen is, while it moves by keys. @type {{ x: number, y: number, isDown: boolean } | undefined} */
  #pen;
  /** Pixels that the drawing fills at most, of 28. */
  box = 20;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(pixels: Uint8Array | null) => void} onDrawn is told of each change; null: nothing is drawn
   */
  constructor(canvas, onDrawn) {
    this.#canvas = canvas;
    this.#onDrawn = onDrawn;
    const ink = document.createElement('canvas');
    ink.width = ink.height = SIDE;
    this.#ink = /** @type {CanvasRenderingContext2D} */ (ink.getContext('2d', { willReadFrequently: true }));
    Object.assign(this.#ink, { lineWidth: WIDTH, lineCap: 'round', lineJoin: 'round', strokeStyle: '#fff' });
    canvas.addEventListener('pointerdown', (event) => this.#onPointerDown(event));
    canvas.addEventListener('keydown', (event) => this.#onKey(event));
    canvas.addEventListener('blur', () => this.#liftPen());
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#show());
    this.#show();
  }

  /** Takes everything away. */
  clear() {
    this.#ink.clearRect(0, 0, SIDE, SIDE);
    this.#changed();
  }

  /**
   * Shows an image instead; nobody is told of it.
   *
   * @param {Uint8Array} pixels 28 × 28
   */
  showImage(pixels) {
    const image = new ImageData(28, 28);
    pixels.forEach((value, i) => image.data.set([255, 255, 255, value], 4 * i));
    const small = document.createElement('canvas');
    small.width = small.height = 28;
    small.getContext('2d')?.putImageData(image, 0, 0);
    this.#ink.clearRect(0, 0, SIDE, SIDE);
    this.#ink.imageSmoothingEnabled = true;
    this.#ink.drawImage(small, 0, 0, SIDE, SIDE);
    this.#show();
  }

  /** @param {PointerEvent} event */
  #onPointerDown(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.#canvas.focus();
    this.#canvas.setPointerCapture(event.pointerId);
    let last = this.#placeOf(event);
    this.#stroke(last, last);
    const move = (/** @type {PointerEvent} */ moved) => {
      if (moved.pointerId !== event.pointerId) return;
      for (const each of moved.getCoalescedEvents?.() ?? [moved]) {
        const next = this.#placeOf(each);
        this.#stroke(last, next);
        last = next;
      }
      const next = this.#placeOf(moved);
      this.#stroke(last, next);
      last = next;
    };
    const end = new AbortController();
    const { signal } = end;
    this.#canvas.addEventListener('pointermove', move, { signal });
    for (const type of ['pointerup', 'pointercancel']) {
      this.#canvas.addEventListener(type, () => end.abort(), { signal });
    }
  }

  /** @param {MouseEvent} event */
  #placeOf({ clientX, clientY }) {
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    return { x: ((clientX - left) / width) * SIDE, y: ((clientY - top) / height) * SIDE };
  }

  /**
   * @param {{ x: number, y: number }} from
   * @param {{ x: number, y: number }} to
   */
  #stroke(from, to) {
    this.#ink.beginPath();
    this.#ink.moveTo(from.x, from.y);
    this.#ink.lineTo(to.x, to.y);
    this.#ink.stroke();
    this.#changed();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[/** @type {keyof typeof moves} */ (event.key)];
    const pen = (this.#pen ??= { x: SIDE / 2, y: SIDE / 4, isDown: false });
    if (move) {
      const clamp = (/** @type {number} */ value) => Math.min(SIDE, Math.max(0, value));
      const next = { x: clamp(pen.x + STRIDE * move[0]), y: clamp(pen.y + STRIDE * move[1]) };
      if (pen.isDown) this.#stroke(pen, next);
      Object.assign(pen, next);
    } else if (event.key === ' ') {
      pen.isDown = !pen.isDown;
      if (pen.isDown) this.#stroke(pen, pen);
    } else if (event.key === 'Delete' || event.key === 'Backspace') {
      this.clear();
    } else {
      return;
    }
    event.preventDefault();
    this.#show();
  }

  #liftPen() {
    this.#pen = undefined;
    this.#show();
  }

  #changed() {
    this.#show();
    const { data } = this.#ink.getImageData(0, 0, SIDE, SIDE);
    this.#onDrawn(normalised(Uint8Array.from({ length: SIDE * SIDE }, (_, i) => data[4 * i + 3]), SIDE, this.box));
  }

  #show() {
    const context = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext('2d'));
    const colours = getComputedStyle(document.documentElement);
    context.clearRect(0, 0, SIDE, SIDE);
    context.globalCompositeOperation = 'source-over';
    context.drawImage(this.#ink.canvas, 0, 0);
    context.globalCompositeOperation = 'source-in';
    context.fillStyle = colours.getPropertyValue('--ink');
    context.fillRect(0, 0, SIDE, SIDE);
    context.globalCompositeOperation = 'source-over';
    if (!this.#pen) return;
    context.beginPath();
    context.arc(this.#pen.x, this.#pen.y, this.#pen.isDown ? WIDTH / 2 : WIDTH / 3, 0, 2 * Math.PI);
    context.lineWidth = 2;
    context.strokeStyle = colours.getPropertyValue('--accent');
    context.stroke();
  }
}
