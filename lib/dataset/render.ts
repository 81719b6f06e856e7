/** The dataset report as text: a few lines when all is well, a line for each kind of surprise otherwise. */

import path from 'node:path'
import { ImageTrait } from './images'
import { DatasetReport } from './report'
import { Skipped } from './scan'

/** How many names a line shows before "and 12 more"; the record has all. */
const shownNames = 8

const conversions: Record<ImageTrait, string> = {
  'rotated by EXIF': 'turned upright (EXIF)',
  transparent: 'put on alpha_background (transparent)',
  greyscale: 'from greyscale',
  CMYK: 'from CMYK',
  '16 bits a channel': 'from 16 bits a channel',
  'colour profile': 'from another colour space',
  'several frames': 'reduced to the first frame',
}

export function renderReport(report: DatasetReport): string {
  return [
    ...renderImages(report),
    ...renderCaptions(report),
    ...renderChanges(report),
    ...renderSkipped(report.skipped),
    ...report.notes.map((note) => `Note: ${note}`),
    'Captions as trained:',
    ...report.examples.map(({ name, caption }) => `  ${name}: ${caption === '' ? '(empty)' : `"${caption}"`}`),
    renderLength(report),
  ].join('\n')
}

/** "40 images x 10 repeats / batch 2 x 8 epochs = 1,600 steps", and why the sum is another one where it is. */
export function renderLength({ images, imagesPerEpoch, batchSize, folders, length }: DatasetReport): string {
  const repeats = new Set(folders.map((folder) => folder.repeats))
  const seen =
    repeats.size === 1
      ? `${plural(images, 'image')} x ${plural([...repeats][0], 'repeat')}`
      : `${plural(imagesPerEpoch, 'image')} an epoch (${plural(images, 'file')} with their repeats)`
  const accumulation = length.accumulation > 1 ? ` / accumulation ${length.accumulation}` : ''
  const epochs = Number.isInteger(length.epochs) ? format(length.epochs) : length.epochs.toFixed(2)
  const times = `x ${epochs} ${length.epochs === 1 ? 'epoch' : 'epochs'}`
  const line = `Length: ${seen} / batch ${batchSize}${accumulation} ${times} = ${plural(length.steps, 'step')}`
  const exact = (imagesPerEpoch / batchSize / length.accumulation) * length.epochs
  const partial =
    length.steps - exact > 1e-6 ? '; more steps than the division gives, as buckets end in partial batches' : ''
  return `${line} (${plural(length.imagesSeen, 'image')} seen${partial})`
}

function renderImages(report: DatasetReport): string[] {
  const { images, imagesPerEpoch, folders, buckets } = report
  return [
    `Dataset: ${plural(images, 'image')}, ${format(imagesPerEpoch)} an epoch with repeats`,
    ...table(folders.map((f) => [f.name, plural(f.images, 'image'), `x ${plural(f.repeats, 'repeat')}`])),
    'Buckets (width x height):',
    ...table(
      buckets.map((b) => [
        b.size,
        plural(b.images, 'image'),
        `${format(b.imagesPerEpoch)} an epoch`,
        plural(b.batchesPerEpoch, 'batch', 'batches'),
      ]),
    ),
  ]
}

function renderCaptions({ captions, images }: DatasetReport): string[] {
  const { emptyFiles } = captions
  const missing = images - captions.fromFile
  const instead = [
    captions.fromClassTokens > 0 ? `${format(captions.fromClassTokens)} use the class tokens` : '',
    captions.fromTriggerWord > 0 ? `${format(captions.fromTriggerWord)} use the trigger word alone` : '',
    captions.none > 0 ? `${format(captions.none)} are trained with an empty caption` : '',
  ].filter(Boolean)
  return [
    missing === 0
      ? `Captions: a file for ${images === 1 ? 'the image' : `each of ${plural(images, 'image')}`}`
      : `Captions: ${format(missing)} of ${plural(images, 'image')} have no caption file: ${instead.join(', ')}`,
    ...(emptyFiles > 0 ? [`  ${plural(emptyFiles, 'caption file is', 'caption files are')} empty`] : []),
    ...named('only the first line is used', captions.ignoredLines),
    ...named('not read, as another caption file goes before', captions.ignoredFiles),
    ...named('longer than the text encoder reads, the end is cut', captions.tooLong),
  ]
}

function renderChanges({ converted, enlarged, cropped, duplicates }: DatasetReport): string[] {
  const line = (label: string, items: string[]) => (items.length > 0 ? [`${label}: ${shorten(items)}`] : [])
  return [
    ...line('Converted', converted.map(({ trait, images }) => `${plural(images, 'image')} ${conversions[trait]}`)),
    ...line(
      `Enlarged (${format(enlarged.length)})`,
      enlarged.map(({ name, scale }) => `${name} ${scale.toFixed(2)}x`),
    ),
    ...line(
      `Cropped by more than a quarter (${format(cropped.length)})`,
      cropped.map(({ name, part }) => `${name} ${Math.round(part * 100)} %`),
    ),
    ...line(`Twice the same file (${format(duplicates.length)})`, duplicates.map(({ name, of }) => `${name} = ${of}`)),
  ]
}

function renderSkipped(skipped: Skipped[]): string[] {
  if (skipped.length === 0) return ['Skipped: nothing']
  const kinds = new Map<string, Skipped[]>()
  for (const item of skipped) {
    const kind = item.fix ? `${item.reason}; ${item.fix}` : item.reason
    kinds.set(kind, [...(kinds.get(kind) ?? []), item])
  }
  return [
    `Skipped: ${plural(skipped.length, 'file or folder', 'files or folders')}`,
    ...[...kinds].flatMap(([kind, items]) => named(kind, items.map(describe))),
  ]
}

function describe({ path: file, detail }: Skipped): string {
  return `${path.basename(path.dirname(file))}/${path.basename(file)}${detail ? ` (${detail})` : ''}`
}

/** "  3 only the first line is used: a, b, c", or nothing. */
function named(what: string, names: string[]): string[] {
  return names.length > 0 ? [`  ${format(names.length)} ${what}: ${shorten(names)}`] : []
}

function shorten(items: string[]): string {
  const more = items.length - shownNames
  return items.slice(0, shownNames).join(', ') + (more > 0 ? ` and ${format(more)} more` : '')
}

/** Columns padded to equal width. */
function table(rows: string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, c) => Math.max(...rows.map((row) => row[c].length)))
  return rows.map((row) => `  ${row.map((cell, c) => cell.padEnd(widths[c])).join('  ')}`.trimEnd())
}

function plural(n: number, one: string, many = `${one}s`): string {
  return `${format(n)} ${n === 1 ? one : many}`
}

function format(n: number): string {
  return n.toLocaleString('en-US')
}
