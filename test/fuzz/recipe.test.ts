import test from 'ava'
import { fuzzRecipes } from '../../scripts/fuzz/recipe'

test('damaged recipes give a recipe or an error of kind usage, soon', (t) => {
  const { refused, accepted, slowestMs } = fuzzRecipes(1500, 5)
  t.true(refused > 500, `${refused} were refused`)
  t.true(accepted > 50, `${accepted} were accepted`)
  t.true(slowestMs < 2000, `${slowestMs} ms`)
})
