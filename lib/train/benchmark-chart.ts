/** Benchmarks of several ranks as a picture: steps per second, and what the device holds. */
import { formatBytes } from '../base/units'
import type { Benchmark } from './benchmark'

type Measured = Pick<Benchmark, 'rank' | 'median' | 'memory'>

const width = 720
const rowHeight = 30
const top = 64
const labelWidth = 90
const barWidth = 230
const gap = 90
const colors = { speed: '#3f7fb0', memory: '#8a9a5b', text: '#222', grid: '#ddd' }

/** @returns an SVG document; one row for each result, in the order given */
export function drawBenchmarks(heading: string, results: readonly Measured[]): string {
  const perSecond = results.map(({ median }) => 1 / median)
  const held = results.map(({ memory }) => memory.arena + memory.buffers + memory.weights + memory.packed + memory.scratch)
  const left = { speed: labelWidth, memory: labelWidth + barWidth + gap }
  const rows = results.flatMap(({ rank }, i) => {
    const y = top + i * rowHeight
    return [
      text(labelWidth - 10, y + 15, `rank ${rank}`, 'end'),
      ...bar(left.speed, y, perSecond[i]! / Math.max(...perSecond), colors.speed, `${perSecond[i]!.toPrecision(3)} it/s`),
      ...bar(left.memory, y, held[i]! / Math.max(...held), colors.memory, formatBytes(held[i]!)),
    ]
  })
  const height = top + results.length * rowHeight + 16
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    text(16, 24, heading, 'start'),
    text(left.speed, 50, 'steps per second', 'start'),
    text(left.memory, 50, 'memory', 'start'),
    ...rows,
    '</svg>',
    '',
  ].join('\n')
}

function bar(x: number, y: number, share: number, color: string, label: string): string[] {
  const length = Math.max(1, share * barWidth)
  return [
    `<rect x="${x}" y="${y}" width="${barWidth}" height="20" fill="none" stroke="${colors.grid}"/>`,
    `<rect x="${x}" y="${y}" width="${length.toFixed(1)}" height="20" fill="${color}"/>`,
    text(x + barWidth + 6, y + 15, label, 'start'),
  ]
}

function text(x: number, y: number, content: string, anchor: 'start' | 'end'): string {
  const escaped = content.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`)
  return `<text x="${x}" y="${y}" fill="${colors.text}" text-anchor="${anchor}">${escaped}</text>`
}
