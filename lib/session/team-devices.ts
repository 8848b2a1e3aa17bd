/** Which device each model of a team is on. */
import { ConfigError } from '../base/errors.ts'
import type { TeamConfig } from '../config/schema.ts'

/** Devices by what a model is for. */
export interface TeamDevices {
  agent(agent: number): string
  reference(agent: number): string
  critic(index: number): string
}

/** Keys of `team.devices` besides the agents. */
const others = ['references', 'critics'] as const

/**
 * The devices of a configuration, by `device` or `devices`.
 *
 * @param names the task's agents, in order
 * @throws ConfigError if they do not fit the agents
 */
export function teamDevices(config: TeamConfig, names: readonly string[]): TeamDevices {
  const { device, devices, sharedWeights } = config
  if (devices === undefined) return { agent: () => device, reference: () => device, critic: () => device }
  if (device !== 'auto') throw wrong('team.device', 'expected either device or devices')
  const list = Array.isArray(devices) ? devices : byName(devices, names)
  if (list.length !== names.length)
    throw wrong(
      'team.devices',
      `expected ${names.length}, one for each of ${quoted(names)}, but received ${list.length}`,
    )
  if (sharedWeights === true && new Set(list).size > 1)
    throw wrong('team.devices', 'expected one device for agents with sharedWeights')
  const named = (name: (typeof others)[number]) => {
    const isOther = !Array.isArray(devices) && !names.includes(name)
    return isOther ? (devices as Record<string, string>)[name] : undefined
  }
  const agent = (index: number) => list[Math.min(index, list.length - 1)]!
  return {
    agent,
    reference: (index) => named('references') ?? agent(index),
    critic: (index) => named('critics') ?? agent(index),
  }
}

function byName(devices: Record<string, string>, names: readonly string[]): string[] {
  const known = [...names, ...others]
  const unknown = Object.keys(devices).find((name) => !known.includes(name))
  if (unknown !== undefined) throw wrong(`team.devices.${unknown}`, `no such agent; the task has ${quoted(names)}`)
  return names.map((name) => {
    const device = devices[name]
    if (device === undefined) throw wrong(`team.devices.${name}`, 'missing; every agent needs a device')
    return device
  })
}

const quoted = (values: readonly string[]) => values.map((value) => JSON.stringify(value)).join(', ')

const wrong = (path: string, message: string) => new ConfigError([{ path, message }], 'The team')
