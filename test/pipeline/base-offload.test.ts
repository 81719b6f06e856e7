/** Which weights stay with the host: as many as asked for, spread over each network. */
import test from 'ava'
import { elements } from '../../lib/graph/tensor'
import { openBaseModel } from '../../lib/pipeline/base-model'
import { weightsOnHost } from '../../lib/pipeline/base-offload'
import { surveyNetworks } from '../../lib/pipeline/networks'

const { requests } = surveyNetworks(openBaseModel('random:sd15', 0).config)
const sizes = (names?: ReadonlySet<string>) =>
  requests
    .filter(({ network, container, name }) => network === 'unet' && container && (names?.has(name) ?? true))
    .map(({ shape }) => elements(shape))
const sum = (values: number[]) => values.reduce((a, b) => a + b, 0)

test('all layers, or none; embeddings, norms and biases stay on the card', (t) => {
  t.is(weightsOnHost(requests, 0).size, 0)
  const all = weightsOnHost(requests, 1)
  t.is(all.size, requests.filter(({ container }) => container).length)
  const stay = requests.filter(({ name }) => !all.has(name))
  t.true(stay.some(({ shape }) => shape.length === 1))
  t.deepEqual(
    stay.filter(({ shape }) => shape.length > 1).map(({ name }) => name),
    ['token', 'position'].map((kind) => `text_encoder/text_model.embeddings.${kind}_embedding.weight`),
  )
})

for (const share of [0.1, 0.5, 0.8])
  test(`${share} of the bytes, spread over the network`, (t) => {
    const names = weightsOnHost(requests, share)
    const largest = Math.max(...sizes())
    t.true(Math.abs(sum(sizes(names)) - share * sum(sizes())) <= largest / 2)
    let here = 0
    let seen = 0
    for (const { network, name, shape } of requests.filter((request) => request.container)) {
      if (network !== 'unet') continue
      seen += elements(shape)
      if (names.has(name)) here += elements(shape)
      t.true(Math.abs(here - share * seen) <= largest / 2, `up to ${name}`)
    }
  })
