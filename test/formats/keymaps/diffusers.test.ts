import test from 'ava'
import { fromDiffusers, innerShape } from '../../../lib/formats/keymaps/diffusers'

test("the autoencoder's old attention names become the new ones", t => {
  const path = 'decoder.mid_block.attentions.0'
  t.is(fromDiffusers('vae', `${path}.query.weight`), `${path}.to_q.weight`)
  t.is(fromDiffusers('vae', `${path}.key.bias`), `${path}.to_k.bias`)
  t.is(fromDiffusers('vae', `${path}.value.weight`), `${path}.to_v.weight`)
  t.is(fromDiffusers('vae', `${path}.proj_attn.bias`), `${path}.to_out.0.bias`)
  t.is(fromDiffusers('vae', `${path}.to_out.0.bias`), `${path}.to_out.0.bias`)
})

test('text encoder names without text_model get it, and position ids are no weights', t => {
  t.is(fromDiffusers('textEncoder', 'encoder.layers.3.mlp.fc1.bias'), 'text_model.encoder.layers.3.mlp.fc1.bias')
  t.is(fromDiffusers('textEncoder', 'text_model.final_layer_norm.bias'), 'text_model.final_layer_norm.bias')
  t.is(fromDiffusers('textEncoder', 'text_model.embeddings.position_ids'), undefined)
})

test("only the autoencoder's attention weights lose their 1x1 kernel", t => {
  t.deepEqual(innerShape('vae', 'encoder.mid_block.attentions.0.to_q.weight', [8, 8, 1, 1]), [8, 8])
  t.deepEqual(innerShape('vae', 'encoder.mid_block.attentions.0.to_q.weight', [8, 8]), [8, 8])
  t.deepEqual(innerShape('vae', 'quant_conv.weight', [8, 8, 1, 1]), [8, 8, 1, 1])
  t.deepEqual(innerShape('unet', 'mid_block.attentions.0.proj_in.weight', [8, 8, 1, 1]), [8, 8, 1, 1])
})
