/**
 * Finds the images of a dataset. Two layouts, told apart by what is there:
 *
 *     data/10_ohwx person/*.png    folders named <repeats>_<class tokens>, as kohya-ss/sd-scripts reads them
 *     data/*.png                   a flat folder, repeats 1 unless num_repeats says otherwise
 *
 * sd-scripts ignores folders without a number and looks at a folder's name only one level down; here such folders
 * are used with repeats 1, a numbered folder may be given itself, and both are said in `notes`. Every file that is
 * not used is in `skipped` with its reason. Nothing is opened here: images.ts judges the contents.
 */

import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { LorikeetError } from '../base/errors'
import { captionExtensionsOf } from './captions'
import { SubsetOptions } from './options'

/** Formats that are decoded, by file extension. */
export const imageExtensions = ['.png', '.jpg', '.jpeg', '.webp', '.avif', '.tif', '.tiff', '.gif']

/** Where the cache lives inside a dataset unless cache_dir says otherwise; no part of the dataset. */
export const cacheFolderName = '.lorikeet-cache'

/** Image formats that people have and that are not decoded; reported with the way out. */
const foreignExtensions =
  ['.bmp', '.jxl', '.heic', '.heif', '.psd', '.jp2', '.tga', '.dds', '.svg', '.cr2', '.nef', '.dng']

export type SkipReason =
  | 'hidden'
  | 'unsupported format'
  | 'not an image'
  | 'caption without an image'
  | 'nested folder'
  | 'repeats below 1'
  | 'unreadable'
  | 'empty file'
  | 'damaged'
  | 'too small'

/** A file or folder that is not trained on. */
export interface Skipped {
  path: string
  reason: SkipReason
  /** What exactly was found, when the reason alone does not say it. */
  detail?: string
  /** What the person can do to have it used. */
  fix?: string
}

/** One folder of images with its settings resolved. */
export interface DatasetFolder {
  path: string
  /** The folder's name: what metadata and reports show (never the whole path). */
  name: string
  repeats: number
  options: SubsetOptions
}

export interface FoundImage {
  path: string
  /** Index into `folders`. */
  folder: number
}

export interface Scan {
  folders: DatasetFolder[]
  images: FoundImage[]
  skipped: Skipped[]
  /** Decisions the person should know of, as sentences. */
  notes: string[]
}

/**
 * Scans one dataset entry.
 * @param root the folder (`image_dir`)
 * @param options its settings; `num_repeats` and `class_tokens` win over what folder names say
 * @throws LorikeetError of kind input when the folder does not exist or cannot be read
 */
export async function scanDataset(root: string, options: SubsetOptions): Promise<Scan> {
  await checkRoot(root)
  const scan: Scan = { folders: [], images: [], skipped: [], notes: [] }
  const { files, folders } = await list(root, scan.skipped)
  if (files.some(isImage)) addFolder(scan, root, files, options)
  else skipFiles(scan, files, options)
  for (const folder of folders) {
    const inside = await list(folder, scan.skipped)
    if (inside.files.some(isImage)) {
      addFolder(scan, folder, inside.files, options)
    } else {
      scan.notes.push(`folder ${path.basename(folder)}: no images in it`)
      skipFiles(scan, inside.files, options)
    }
    const fix = 'folders are read one level deep: move it up, or list it under subsets'
    scan.skipped.push(...inside.folders.map((nested) => ({ path: nested, reason: 'nested folder' as const, fix })))
  }
  return scan
}

/** Scans several entries; their folders and images follow each other in the order given. */
export async function scanSubsets(subsets: SubsetOptions[]): Promise<Scan> {
  const all: Scan = { folders: [], images: [], skipped: [], notes: [] }
  for (const subset of subsets) {
    const scan = await scanDataset(subset.image_dir, subset)
    all.images.push(...scan.images.map((image) => ({ ...image, folder: image.folder + all.folders.length })))
    all.folders.push(...scan.folders)
    all.skipped.push(...scan.skipped)
    all.notes.push(...scan.notes)
  }
  return all
}

/** "10_ohwx person" -> repeats 10, class tokens "ohwx person"; a name without a leading number has neither. */
export function parseFolderName(name: string): { repeats: number; classTokens: string } | undefined {
  const match = /^\s*([+-]?\d+)\s*(?:_(.*))?$/s.exec(name)
  return match ? { repeats: Number(match[1]), classTokens: (match[2] ?? '').trim() } : undefined
}

/** By name alone; hidden files such as macOS' `._photo.png` are none, whatever their extension. */
export function isImage(file: string): boolean {
  return !isHidden(file) && imageExtensions.includes(path.extname(file).toLowerCase())
}

function isHidden(file: string): boolean {
  return path.basename(file).startsWith('.')
}

function addFolder(scan: Scan, folder: string, files: string[], options: SubsetOptions): void {
  const name = path.basename(path.resolve(folder))
  const named = parseFolderName(name)
  const repeats = options.num_repeats ?? named?.repeats ?? 1
  const images = files.filter(isImage)
  if (repeats < 1) {
    const fix = 'rename it with a number of 1 or more, or set num_repeats'
    scan.skipped.push({ path: folder, reason: 'repeats below 1', detail: `${images.length} images`, fix })
    return
  }
  noteRepeats(scan, name, repeats, named?.repeats, options.num_repeats)
  scan.folders.push({
    path: folder,
    name,
    repeats,
    options: { ...options, class_tokens: options.class_tokens ?? (named?.classTokens || undefined) },
  })
  scan.images.push(...images.map((image) => ({ path: image, folder: scan.folders.length - 1 })))
  skipFiles(scan, files, options)
}

function noteRepeats(scan: Scan, name: string, repeats: number, named?: number, set?: number): void {
  if (set !== undefined && named !== undefined && set !== named) {
    scan.notes.push(`folder ${name}: num_repeats ${set} is used instead of the ${named} in its name`)
  } else if (set === undefined && named === undefined) {
    scan.notes.push(`folder ${name}: no number in its name, so each image counts once an epoch (repeats 1)`)
  } else if (set === undefined && repeats >= 1000) {
    scan.notes.push(`folder ${name}: the number in its name makes ${repeats} repeats; set num_repeats if it is a year`)
  }
}

/** Reports every file that is neither an image nor the caption of one. */
function skipFiles(scan: Scan, files: string[], options: SubsetOptions): void {
  const stems = new Set(files.filter(isImage).map(stem))
  for (const file of files.filter((name) => !isImage(name))) {
    const extension = path.extname(file).toLowerCase()
    if (isHidden(file)) {
      scan.skipped.push({ path: file, reason: 'hidden' })
    } else if (foreignExtensions.includes(extension)) {
      scan.skipped.push({ path: file, reason: 'unsupported format', detail: extension, fix: 'convert it to PNG' })
    } else if (captionExtensionsOf(options).known.includes(extension)) {
      if (!stems.has(stem(file))) scan.skipped.push(lostCaption(file, stems))
    } else {
      scan.skipped.push({ path: file, reason: 'not an image' })
    }
  }
}

function lostCaption(file: string, stems: Set<string>): Skipped {
  const inner = stem(file)
  const doubled = isImage(inner) && stems.has(stem(inner)) // photo.jpg.txt beside photo.jpg
  const right = `${path.basename(stem(inner))}${path.extname(file)}`
  return {
    path: file,
    reason: 'caption without an image',
    fix: doubled ? `rename it to ${right}` : 'give it the name of its image',
  }
}

function stem(file: string): string {
  return file.slice(0, file.length - path.extname(file).length)
}

async function checkRoot(root: string): Promise<void> {
  await readdir(root).catch((cause: unknown) => {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    throw new LorikeetError('input', missing ? 'there is no such folder' : 'the dataset folder cannot be read', {
      where: root,
      expected: 'a folder of images, or of folders such as "10_ohwx person"',
      fix: 'Check image_dir',
      cause,
    })
  })
}

/** Files and folders, sorted by name so that image numbers do not depend on the file system. */
async function list(folder: string, skipped: Skipped[]): Promise<{ files: string[]; folders: string[] }> {
  const found = { files: [] as string[], folders: [] as string[] }
  const names = await readdir(folder).catch(() => {
    skipped.push({ path: folder, reason: 'unreadable', fix: 'check its permissions' })
    return []
  })
  for (const name of names.sort(byCodeUnit)) {
    const full = path.join(folder, name)
    const info = await stat(full).catch(() => undefined)
    if (!info) skipped.push({ path: full, reason: 'unreadable', fix: 'check the link or its permissions' })
    else if (info.isFile()) found.files.push(full)
    else if (!info.isDirectory()) skipped.push({ path: full, reason: 'not an image', detail: 'not a plain file' })
    else if (!isHidden(name)) found.folders.push(full)
    else if (name !== cacheFolderName) skipped.push({ path: full, reason: 'hidden' })
  }
  return found
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
