/** The tiny Stable Diffusion model of the fixtures on the CPU, and its tensors as the API takes them. */
import type { ExecutionContext } from 'ava'
import { openDevice, type DeviceOptions } from '../../lib/pipeline/device'
import type { Values } from '../../lib/pipeline/images'
import { loadPipeline, type Pipeline } from '../../lib/pipeline/pipeline'
import { fixturePath, floats, numbers, relativeL2, type FixtureTensor } from './fixture-tensors'
import { testDevice } from './test-device'

export const tinyModel = fixturePath('sd15-tiny', 'model')

/** f32 unless told. */
export function loadTiny(computeDtype: DeviceOptions['computeDtype'] = 'f32', location = tinyModel): Promise<Pipeline> {
  return loadPipeline(location, { device: openDevice(testDevice, { computeDtype }) })
}

/** A tensor of floating-point numbers with its shape. */
export function values(tensors: Map<string, FixtureTensor>, name: string): Values {
  return { data: floats(tensors, name), shape: tensors.get(name)!.shape }
}

/** A tensor [N, L] as N rows. */
export function rowsOf(tensors: Map<string, FixtureTensor>, name: string): number[][] {
  const [count = 0, length = 0] = tensors.get(name)?.shape ?? []
  const all = numbers(tensors, name)
  return Array.from({ length: count }, (_, i) => all.slice(i * length, (i + 1) * length))
}

/** Same shape, and relative L2 within `tolerance`. */
export function expectValues(t: ExecutionContext, got: Values, expected: Values, tolerance: number, what: string): void {
  t.deepEqual([...got.shape], [...expected.shape], what)
  const error = relativeL2(got.data, expected.data)
  t.true(error <= tolerance, `${what}: relative L2 ${error}, allowed ${tolerance}`)
}
