// TypeScript, as CommonJS.
import magrpo = require('magrpo')

async function load(): Promise<number> {
  const model: magrpo.Model = await magrpo.Model.load('builtin:mini-code')
  const { vocabSize } = model.config
  await model.dispose()
  return vocabSize
}

void load().then((size) => console.log(size > 0))
