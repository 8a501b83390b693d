import uPlot from 'uplot';
import { make, say } from './dom.js';
import { LONGEST_S } from './history.js';

const HEIGHT = 150;
/** Whole numbers: reads, calls and per cent have no halves. */
const STEPS = [1, 10, 100, 1000, 10_000, 100_000].flatMap((unit) => [unit, 2 * unit, 5 * unit]);
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
/** The shortest span of the time axis, in seconds. */
const SHORTEST_S = 60;

/**
 * @typedef {{ label: string, color: string }} Line colour: a custom property of console.css
 * @typedef {(number | null)[]} Values
 * @typedef {object} PlotOptions
 * @property {string} title
 * @property {Line[]} lines
 * @property {boolean} [stacked] each line is an amount on top of those before it
 * @property {number} [least] the least upper end of the scale
 * @property {(value: number) => string} words
 */

/** A plot over time. Its legend is text with the latest values, which assistive technology can read. */
export class Plot {
  #area = make('div', { class: 'area', 'aria-hidden': 'true' });
  #legend = make('ul', { class: 'legend' });
  /** @type {uPlot | undefined} */
  #plot;
  /** @type {uPlot.AlignedData} */
  #data = [[]];
  /** @type {boolean[]} */
  #closed = [];

  /**
   * @param {HTMLElement} figure
   * @param {PlotOptions} options
   */
  constructor(figure, options) {
    this.options = options;
    figure.append(make('figcaption', {}, options.title), this.#legend, this.#area);
    for (const { label, color } of options.lines) {
      const swatch = make('i', { class: 'swatch' });
      swatch.style.background = `var(${color})`;
      this.#legend.append(make('li', {}, swatch, `${label} `, make('b')));
    }
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(this.#area);
    // A canvas does not follow changes of the colour scheme.
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      if (this.#plot) this.#draw();
    });
  }

  /**
   * @param {number[]} times seconds since 1970
   * @param {Values[]} values of each line
   * @param {boolean[]} closed when the gate was closed
   * @param {boolean[]} [shown] whether a line is in the legend
   */
  show(times, values, closed, shown = []) {
    this.#closed = closed;
    this.#data = [times, ...(this.options.stacked ? stacked(values).reverse() : values)];
    [...this.#legend.children].forEach((item, index) => {
      const last = values[index]?.at(-1);
      if (item instanceof HTMLElement) item.hidden = shown[index] === false;
      const number = item.querySelector('b');
      if (number) say(number, last == null ? '–' : this.options.words(last));
    });
    if (this.#plot) this.#plot.setData(this.#data);
    else this.#draw();
  }

  #size() {
    return { width: Math.max(200, this.#area.clientWidth), height: HEIGHT };
  }

  #draw() {
    this.#plot?.destroy();
    const { lines, stacked, least = 0 } = this.options;
    const color = colorsOf(this.#area);
    /** @type {uPlot.Axis} */
    const axis = {
      stroke: color('--quiet'),
      font: `11px ${color('--font')}`,
      grid: { stroke: color('--line'), width: 1 },
      ticks: { show: false },
    };
    const series = lines.map((line) => ({
      label: line.label,
      stroke: color(line.color),
      width: stacked ? 0 : 1.75,
      ...(stacked && { fill: color(line.color) }),
      points: { show: false },
    }));
    this.#plot = new uPlot(
      {
        ...this.#size(),
        legend: { show: false },
        cursor: { show: false },
        // Room for half a label at the right end.
        padding: [8, 28, 0, 0],
        scales: {
          x: { time: true, range: (_plot, _min, max) => [max - this.#spanS(), max] },
          y: { range: (_plot, _min, max) => [0, Math.max(least, (max ?? 0) * 1.1)] },
        },
        axes: [
          {
            ...axis,
            size: 22,
            space: 90,
            values: (_plot, times) => times.map((time) => clock.format(time * 1000)),
          },
          { ...axis, size: 44, space: 32, incrs: STEPS },
        ],
        series: [{}, ...(stacked ? series.toReversed() : series)],
        hooks: { drawClear: [(plot) => this.#shadeClosed(plot, color('--closed'))] },
      },
      this.#data,
      this.#area,
    );
  }

  #spanS() {
    const times = this.#data[0];
    const known = (times.at(-1) ?? 0) - (times[0] ?? 0);
    return Math.min(LONGEST_S, Math.max(SHORTEST_S, known));
  }

  /**
   * @param {uPlot} plot
   * @param {string} color
   */
  #shadeClosed({ ctx, bbox, valToPos, data: [times] }, color) {
    ctx.fillStyle = color;
    this.#closed.forEach((closed, index) => {
      if (!closed) return;
      const [from, to] = [times[index] ?? 0, times[index + 1] ?? (times[index] ?? 0) + 1];
      const left = Math.max(bbox.left, Math.round(valToPos(from, 'x', true)));
      const right = Math.min(bbox.left + bbox.width, Math.round(valToPos(to, 'x', true)));
      if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
    });
  }
}

/**
 * Stacks each line on those before it.
 * @param {Values[]} values
 * @returns {Values[]}
 */
function stacked(values) {
  /** @type {Values} */
  let below = [];
  return values.map((line) => {
    below = line.map((value, index) => (value === null ? null : value + (below[index] ?? 0)));
    return below;
  });
}

/** @param {Element} element */
function colorsOf(element) {
  const style = getComputedStyle(element);
  return (/** @type {string} */ name) => style.getPropertyValue(name).trim();
}
