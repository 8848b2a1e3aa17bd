import test from 'ava'
import { resolveConfig } from '../../lib/config/load.ts'
import { teamDevices } from '../../lib/session/team-devices.ts'

const names = ['left', 'right']

/** The devices of agents, references and critics under settings of a team. */
function devicesOf(team: Record<string, unknown>) {
  const config = resolveConfig({
    team: { model: 'builtin:mini-code', ...team },
    task: 'mini-code',
    optimizer: { learningRate: 1e-4 },
    steps: 1,
  })
  const { agent, reference, critic } = teamDevices(config.team, names)
  return [agent, reference, critic].map((of) => [of(0), of(1)])
}

test('a device for all, one for each, and others for references and critics', (t) => {
  t.deepEqual(devicesOf({ device: 'cpu' }), Array(3).fill(['cpu', 'cpu']))
  t.deepEqual(devicesOf({}), Array(3).fill(['auto', 'auto']))
  t.deepEqual(devicesOf({ devices: ['cuda:0', 'cuda:1'] }), Array(3).fill(['cuda:0', 'cuda:1']))
  const [agents, references, critics] = devicesOf({
    devices: { right: 'cuda:1', left: 'cuda:0', references: 'cpu', critics: 'cuda:2' },
  })
  t.deepEqual(agents, ['cuda:0', 'cuda:1'])
  t.deepEqual(references, ['cpu', 'cpu'])
  t.deepEqual(critics, ['cuda:2', 'cuda:2'])
})

test('devices that do not fit the agents are named', (t) => {
  const says = (team: Record<string, unknown>, message: RegExp) => t.throws(() => devicesOf(team), { message })
  says({ devices: ['cpu'] }, /team\.devices: expected 2, one for each of "left", "right", but received 1/)
  says({ devices: { left: 'cpu' } }, /team\.devices\.right: missing/)
  says({ devices: { left: 'cpu', right: 'cpu', middle: 'cpu' } }, /team\.devices\.middle: no such agent/)
  says({ devices: ['gpu', 'cpu'] }, /expected auto, cpu or cuda:N/)
  says({ device: 'cpu', devices: ['cpu', 'cpu'] }, /team\.device: expected either device or devices/)
  says({ devices: ['cuda:0', 'cuda:1'], sharedWeights: true }, /one device for agents with sharedWeights/)
})
