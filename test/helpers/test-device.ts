/**
 * The device that the tests of ops and engines run on: `LORIKEET_TEST_DEVICE=cuda-sim npx ava test/native`. The
 * references stand in the tests, so they hold for every device.
 */
import ava, { type ImplementationFn } from 'ava'

export const testDevice = process.env.LORIKEET_TEST_DEVICE ?? 'cpu'

/** A test of so many steps that the emulator would take minutes. */
export function testNotEmulated(title: string, body: ImplementationFn<[]>): void {
  if (testDevice !== 'cuda-sim') ava(title, body)
}

/** A test of what only the CPU device has: layouts of weights, threads. */
export function testOnCpu(title: string, body: ImplementationFn<[]>): void {
  if (testDevice === 'cpu') ava(title, body)
}
