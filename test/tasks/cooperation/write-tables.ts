/** Writes the confusion tables into `docs/cooperation.md`. */
import { writeFileSync } from 'node:fs'
import { PythonSandbox } from '../../../lib/sandbox/python-sandbox.ts'
import { detectCooperations } from '../../../lib/tasks/code/cooperation.ts'
import { confusionTables, docs, docsWith } from './confusion.ts'
import { handWrittenPrograms } from './programs.ts'

const sandbox = await PythonSandbox.start()
const found = await detectCooperations(handWrittenPrograms(), { sandbox, dynamic: true })
writeFileSync(docs, docsWith(await confusionTables(sandbox, found)))
await sandbox.dispose()
