/** Tests that some devices leave out (test-device.ts). */
import ava, { type ImplementationFn } from 'ava'
import { testDevice } from './test-device'

/** A test of so many steps that the emulator would take minutes. */
export function testNotEmulated(title: string, body: ImplementationFn<[]>): void {
  if (testDevice !== 'cuda-sim') ava(title, body)
}

/** A test of what only the CPU device has: layouts of weights, threads. */
export function testOnCpu(title: string, body: ImplementationFn<[]>): void {
  if (testDevice === 'cpu') ava(title, body)
}
