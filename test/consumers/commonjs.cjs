// CommonJS: require() gives the same module, and everything else is the same.
const { MagrpoError, Model, Policy } = require('magrpo')

async function main() {
  const model = await Model.load('builtin:mini-code')
  try {
    const [{ samples }] = await Policy.base(model).generate(['def solve(xs):\n'], { maxNewTokens: 4, temperature: 0 })
    console.log(1, samples[0].ids.length > 0)
    await Model.load('not/a/folder/anywhere').catch((error) => console.log(error instanceof MagrpoError, error.code))
  } finally {
    await model.dispose()
  }
}

main()
