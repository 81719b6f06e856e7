/**
 * Does a picture show what it was asked to show? Among reference drawings of many subjects, its own subject's should be
 * the nearest in a fixed feature space, or among the five nearest. No classifier, nothing learned.
 */
import { bothWays, distance, type Features, type FeatureWeights, featuresOf } from './features'
import type { Picture } from './picture'

export interface Reference {
  /** Features of the reference as it is and mirrored; the nearer counts. */
  ways: Features[]
}

export function referencesOf(pictures: readonly Picture[]): Reference[] {
  return pictures.map((picture) => ({ ways: bothWays(picture) }))
}

/** @returns indices of the references, the nearest first */
export function nearest(picture: Features, references: readonly Reference[], weights?: FeatureWeights): number[] {
  const distances = references.map(({ ways }) => Math.min(...ways.map((way) => distance(picture, way, weights))))
  return [...distances.keys()].sort((a, b) => distances[a] - distances[b])
}

export interface SubjectScore {
  pictures: number
  candidates: number
  /** Shares, 0 to 1. Chance gives 1 / candidates and 5 / candidates. */
  top1: number
  top5: number
  /** Place of each picture's own subject, 1 the nearest. */
  places: number[]
}

/** @param subjects index of each picture's own reference */
export function scoreSubjects(
  pictures: readonly Picture[],
  subjects: readonly number[],
  references: readonly Reference[],
): SubjectScore {
  return scoreFeatures(pictures.map(featuresOf), subjects, references)
}

export function scoreFeatures(
  pictures: readonly Features[],
  subjects: readonly number[],
  references: readonly Reference[],
  weights?: FeatureWeights,
): SubjectScore {
  const places = pictures.map((picture, i) => nearest(picture, references, weights).indexOf(subjects[i]) + 1)
  const share = (within: number) => places.filter((place) => place <= within).length / places.length
  return { pictures: places.length, candidates: references.length, top1: share(1), top5: share(5), places }
}
