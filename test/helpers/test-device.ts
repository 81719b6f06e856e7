/**
 * The device that the tests of ops and engines run on: `LORIKEET_TEST_DEVICE=cuda-sim npx ava test/native`. The
 * references stand in the tests, so they hold for every device.
 */
export const testDevice = process.env.LORIKEET_TEST_DEVICE ?? 'cpu'
