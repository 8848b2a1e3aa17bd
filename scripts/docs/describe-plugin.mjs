/** A plugin of TypeDoc: a property whose type follows from a zod schema has the schema's `.describe(…)` as its docstring. */
import { pathToFileURL } from 'node:url'

/** @param {{ converter: { on: (event: string, listener: Function) => void } }} app TypeDoc's application */
export async function load({ converter }) {
  const { Comment } = await import(new URL('../dist/index.js', pathToFileURL(process.argv[1])).href)
  converter.on('createDeclaration', (context, reflection) => {
    const [declaration] = context.getSymbolFromReflection(reflection)?.declarations ?? []
    const text = declaration && describedIn(declaration, context.checker)
    if (text) reflection.comment = new Comment([{ kind: 'text', text }])
  })
}

/** The description in the expression that a property or variable has as its value; undefined without one. */
function describedIn(declaration, checker) {
  const value = checker.getShorthandAssignmentValueSymbol(declaration)
  if (value) return describedBy(value, checker)
  return declaration.initializer && describedAs(declaration.initializer, checker)
}

/** Reads `z.int().default(3).describe('…')` from its end; a name stands for the expression it was given. */
function describedAs(expression, checker) {
  let description
  let standard
  let part = expression
  for (; part.expression; part = part.expression) {
    const [argument] = part.arguments ?? []
    const method = part.expression.name?.text
    if (method === 'describe') description ??= argument.text
    if (method === 'default') standard ??= argument.text ?? argument.getText()
  }
  const symbol = description === undefined && checker.getSymbolAtLocation(part)
  if (description === undefined) return symbol && describedBy(symbol, checker)
  return standard === undefined ? description : `${description} Defaults to \`${standard}\`.`
}

function describedBy(symbol, checker) {
  const isImported = symbol.declarations?.[0] && 'propertyName' in symbol.declarations[0]
  const { valueDeclaration } = isImported ? checker.getAliasedSymbol(symbol) : symbol
  return valueDeclaration?.initializer && describedAs(valueDeclaration.initializer, checker)
}
