// Live figures. The charts are pictures of the tiles' past; everything they show is also there as text.
import { History, cachedShare } from './history.js';
import { bytes, duration, number, percent } from './format.js';
import { fill, h } from './dom.js';
import { loadScript } from './loader.js';
import { showFailure, simplePage, watchStatus } from './page.js';
import { t } from './i18n.js';

const CHARTS = [
  { name: 'tokens', lines: [['writing', '--accent'], ['reading', '--sea']], text: (value) => number(value, 0) },
  { name: 'requests', lines: [['running', '--accent'], ['prompts', '--sea'], ['waiting', '--faint']], text: (value) => number(value) },
  { name: 'memory', lines: [['resident', '--sea'], ['cacheMemory', '--accent']], scale: 2 ** 20, text: (value) => bytes(value * 2 ** 20) },
  { name: 'states', lines: [['states', '--sea'], ['connections', '--faint']], text: (value) => number(value) },
];

// As the style sheet has it in the colours that are shown now.
function color(name) {
  const probe = h('span', { hidden: true });
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color: value } = getComputedStyle(probe);
  probe.remove();
  return value;
}

function buildChart(canvas, { lines, text }) {
  const ticks = { color: color('--faint'), maxTicksLimit: 5, maxRotation: 0 };
  const legend = { color: color('--soft'), boxWidth: 10, boxHeight: 10, usePointStyle: true, pointStyle: 'circle' };
  return new globalThis.Chart(canvas, {
    type: 'line',
    data: { labels: [], datasets: lines.map(([key, ink]) => ({
      label: t(`metrics.${key}`), data: [], borderColor: color(ink), backgroundColor: color(ink), borderWidth: 2, pointRadius: 0,
      tension: 0.25,
    })) },
    options: {
      animation: false, responsive: true, maintainAspectRatio: false, interaction: { mode: 'index', intersect: false },
      plugins: {
        legend: { position: 'bottom', labels: legend },
        tooltip: { callbacks: {
          title: ([item]) => t('metrics.ago', { seconds: -item.label }),
          label: (item) => `${item.dataset.label}: ${text(item.parsed.y)}`,
        } },
      },
      scales: {
        x: { grid: { display: false }, ticks: { ...ticks, callback(value) { return `${this.getLabelForValue(value)} s`; } } },
        y: { grid: { color: color('--line'), drawBorder: false }, ticks: { ...ticks, callback: text }, beginAtZero: true, suggestedMax: 1 },
      },
    },
  });
}

function tile(label, value, small = '') {
  return h('div', { class: 'tile' }, h('dt', {}, label), h('dd', {}, value, small && [' ', h('small', {}, small)]));
}

function tiles(row) {
  return [
    tile(t('metrics.writing'), number(row.writing, row.writing < 100 ? 1 : 0), t('metrics.per_second')),
    tile(t('metrics.reading'), number(row.reading, row.reading < 100 ? 1 : 0), t('metrics.per_second')),
    tile(t('metrics.running'), number(row.running), row.waiting ? t('metrics.and_waiting', { count: number(row.waiting) }) : ''),
    tile(t('metrics.cached'), percent(cachedShare(row))),
    tile(t('metrics.generated'), number(row.generated)),
    tile(t('metrics.requests_total'), number(row.requests), row.errors ? t('metrics.refused', { count: number(row.errors) }) : ''),
    tile(t('metrics.resident'), bytes(row.resident)),
    tile(t('metrics.uptime'), duration(row.uptime)),
  ];
}

export function metricsView() {
  const { element, body } = simplePage('metrics');
  const history = new History();
  const figures = h('dl', { class: 'tiles' });
  const canvases = new Map(CHARTS.map((chart) => [chart, h('canvas', { role: 'img', 'aria-label': t(`metrics.chart.${chart.name}`) })]));
  const grid = h('div', { class: 'charts' }, CHARTS.map((chart) => h('section', { class: 'card chart-card' },
    h('h2', {}, t(`metrics.chart.${chart.name}`)), h('div', { class: 'chart-box' }, canvases.get(chart)))));
  let charts = [];
  const rebuild = () => {
    for (const chart of charts) chart.destroy();
    charts = globalThis.Chart ? CHARTS.map((chart) => buildChart(canvases.get(chart), chart)) : [];
    draw();
  };
  const draw = () => {
    charts.forEach((chart, i) => {
      chart.data.labels = history.seconds();
      const { lines, scale = 1 } = CHARTS[i];
      lines.forEach(([key], line) => {
        chart.data.datasets[line].data = history.rows.map((row) => row[key] / scale);
      });
      chart.update('none');
    });
  };
  const take = (status) => {
    history.add(status, Date.now());
    if (!figures.isConnected) fill(body, figures, grid);
    fill(figures, tiles(history.last()));
    if (!charts.length && globalThis.Chart) rebuild();
    else draw();
  };
  const scheme = matchMedia('(prefers-color-scheme: dark)');
  let end = null;
  return {
    element,
    shown: () => {
      const start = () => {
        end = watchStatus(1000, take, (error) => {
          end();
          showFailure(body, error, start);
        });
      };
      start();
      loadScript('/assets/vendor/chart.js').then(() => {
        globalThis.Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
        if (history.rows.length) rebuild();
      }, () => {});
      document.addEventListener('tern:theme', rebuild);
      scheme.addEventListener('change', rebuild);
    },
    hidden: () => {
      end?.();
      document.removeEventListener('tern:theme', rebuild);
      scheme.removeEventListener('change', rebuild);
      for (const chart of charts) chart.destroy();
    },
  };
}
