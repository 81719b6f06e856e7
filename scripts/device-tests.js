/**
 * The tests whose references hold on every device; LORIKEET_TEST_DEVICE names the one that they run on. `npm test` runs
 * them on the CPU like all others and again on the emulated card, `npm run test:gpu` on a card.
 */

/** Each op by itself against references in double precision, and gradients against central differences. */
const opTests = ['test/native/*.test.ts', 'test/graph/ops/*.test.ts', 'test/optimizers/adamw.test.ts']

/** Networks, whole training steps and pictures against the peers' values. */
const stepTests = ['test/parity/*.test.ts']

/** What of them the emulator runs in every `npm test`: it takes some seconds for a step of even a tiny model. */
const emulatedStepTests = ['unet', 'text-encoder', 'vae', 'lora-training', 'full-training', 'repeat'].map(
  (name) => `test/parity/${name}.test.ts`,
)

module.exports = { opTests, stepTests, emulatedStepTests }
