/**
 * Draws the loss of training runs from their logs, one panel a run, smoothed, on a logarithmic axis.
 *
 *   npx ts-node --transpile-only scripts/demo/training-curve.ts OUT.svg TITLE=RUN/log.jsonl ...
 */
import { readFileSync, writeFileSync } from 'node:fs'

const panel = { width: 260, height: 170, left: 52, top: 30, gap: 24 }
/** Points in a curve; each is the mean over as many steps as lie between two. */
const points = 120

function smoothed(file: string): { step: number; loss: number }[] {
  const records = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.includes('"loss"'))
    .map((line) => JSON.parse(line) as { step: number; loss: number })
  const size = Math.max(1, Math.ceil(records.length / points))
  return Array.from({ length: Math.floor(records.length / size) }, (_, i) => {
    const chunk = records.slice(i * size, (i + 1) * size)
    return { step: chunk.at(-1)!.step, loss: chunk.reduce((sum, { loss }) => sum + loss, 0) / chunk.length }
  })
}

function drawPanel(title: string, file: string, index: number): string {
  const curve = smoothed(file)
  const losses = curve.map(({ loss }) => Math.log10(loss))
  const [low, high] = [Math.min(...losses), Math.max(...losses)]
  const last = curve.at(-1)!.step
  const x0 = index * (panel.width + panel.left + panel.gap) + panel.left
  const x = (step: number) => (x0 + (step / last) * panel.width).toFixed(1)
  const y = (value: number) => (panel.top + ((high - value) / (high - low)) * panel.height).toFixed(1)
  const line = curve.map(({ step }, i) => `${x(step)},${y(losses[i]!)}`).join(' ')
  const mark = (value: number) => `<text x="${x0 - 6}" y="${Number(y(value)) + 4}" text-anchor="end">${(10 ** value).toPrecision(2)}</text>`
  const bottom = panel.top + panel.height
  return `<text x="${x0}" y="18">${title}</text><path d="M${x0} ${panel.top}V${bottom}H${x0 + panel.width}" stroke="#888" fill="none"/>
${mark(low)}${mark(high)}${mark((low + high) / 2)}<text x="${x0}" y="${bottom + 16}">0</text>
<text x="${x0 + panel.width}" y="${bottom + 16}" text-anchor="end">${last} steps</text>
<polyline points="${line}" fill="none" stroke="#1f6fb2" stroke-width="1.5"/>`
}

const [out, ...runs] = process.argv.slice(2)
if (!out || runs.length === 0) throw new Error('give the file to write, and TITLE=log.jsonl of each run')
const panels = runs.map((run, i) => {
  const at = run.lastIndexOf('=')
  return drawPanel(run.slice(0, at), run.slice(at + 1), i)
})
const width = runs.length * (panel.width + panel.left + panel.gap)
const height = panel.top + panel.height + 26
writeFileSync(
  out,
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="#fff"/>
${panels.join('\n')}
</svg>
`,
)
