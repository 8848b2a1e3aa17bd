/** Who started this process as one of several: torchrun, Slurm's srun, Open MPI's mpirun, a Kubernetes job or `--processes`. */
import { MagrpoError } from '../base/errors.ts'
import type { NativePlace } from '../native/addon-types.ts'

/** Where a process stands among those of a run. */
export interface RankPlace extends NativePlace {
  /** Number of the process on its machine. */
  localRank: number
  /** Who said so, for messages. */
  launcher: string
}

/** The names that a launcher gives to rank and size. */
interface Names {
  launcher: string
  rank: string
  size: string
  localRank: string
}

const launchers: readonly Names[] = [
  { launcher: 'torchrun', rank: 'RANK', size: 'WORLD_SIZE', localRank: 'LOCAL_RANK' },
  {
    launcher: 'mpirun',
    rank: 'OMPI_COMM_WORLD_RANK',
    size: 'OMPI_COMM_WORLD_SIZE',
    localRank: 'OMPI_COMM_WORLD_LOCAL_RANK',
  },
  { launcher: 'srun', rank: 'SLURM_PROCID', size: 'SLURM_STEP_NUM_TASKS', localRank: 'SLURM_LOCALID' },
]

const defaultPort = 29_500
const silenceMs = 20_000
const timeoutMs = 300_000

/**
 * Where this process stands, by the environment that a launcher gave it; null where it stands alone.
 *
 * `MASTER_ADDR` and `MASTER_PORT` (default 29500) say where rank 0 is; on one machine they may be left out. `MAGRPO_RANK_TIMEOUT_S` is
 * how long all ranks are waited for (default 300).
 *
 * @throws MagrpoError `ERR_RANK` for variables of which some are missing, or that make no sense
 */
export function placeOfProcess(env: NodeJS.ProcessEnv = process.env): RankPlace | null {
  const names = launchers.find(({ rank, size }) => isSet(env, rank) && isSet(env, size)) ?? halfSet(env)
  if (names === undefined) return null
  const size = wholeNumber(env, names.size, 1, 65_536)
  const rank = wholeNumber(env, names.rank, 0, size - 1)
  if (size === 1) return null
  const localRank = isSet(env, names.localRank) ? wholeNumber(env, names.localRank, 0, size - 1) : rank
  const isHere = Number(env[localSizeOf[names.launcher] ?? ''] ?? 0) === size
  const address = env.MASTER_ADDR ?? (isHere ? '127.0.0.1' : missing(names, 'MASTER_ADDR'))
  const port = isSet(env, 'MASTER_PORT') ? wholeNumber(env, 'MASTER_PORT', 1, 65_535) : defaultPort
  // torchrun's agent keeps a store at this port, unless it says otherwise.
  const hostsStore = rank === 0 && env.TORCHELASTIC_USE_AGENT_STORE !== 'True'
  const attempt = env.TORCHELASTIC_RESTART_COUNT ?? '0'
  const seconds = isSet(env, 'MAGRPO_RANK_TIMEOUT_S')
    ? wholeNumber(env, 'MAGRPO_RANK_TIMEOUT_S', 1, 86_400)
    : timeoutMs / 1000
  const { launcher } = names
  const times = { timeoutMs: seconds * 1000, silenceMs }
  return { rank, size, localRank, address, port, hostsStore, prefix: `magrpo/${attempt}`, launcher, ...times }
}

/** How many processes there are on this machine, by launcher. */
const localSizeOf: Record<string, string> = { mpirun: 'OMPI_COMM_WORLD_LOCAL_SIZE', srun: 'SLURM_STEP_TASKS_PER_NODE' }

const isSet = (env: NodeJS.ProcessEnv, name: string) => (env[name] ?? '') !== ''

/** A launcher of whose variables one is there and not the other; Slurm sets the rank in every job, also outside of srun. */
function halfSet(env: NodeJS.ProcessEnv): undefined {
  const [names] = launchers.filter(
    ({ rank, size, launcher }) => launcher !== 'srun' && isSet(env, rank) !== isSet(env, size),
  )
  if (names === undefined) return undefined
  const [there, not] = isSet(env, names.rank) ? [names.rank, names.size] : [names.size, names.rank]
  throw new MagrpoError(
    'ERR_RANK',
    `${there} is set (${env[there]}) but ${not} is not, so that this process does not know where it stands among others. Start it by ` +
      `torchrun, srun, mpirun or --processes, which set both, or unset ${there}.`,
    { details: { variable: not } },
  )
}

function missing({ launcher, size }: Names, name: string): never {
  throw new MagrpoError(
    'ERR_RANK',
    `${size} says that there are several processes (${launcher}), but ${name} does not say where rank 0 is. Set ${name} to its machine's ` +
      'name or address, the same for all ranks.',
    { details: { variable: name } },
  )
}

function wholeNumber(env: NodeJS.ProcessEnv, name: string, from: number, to: number): number {
  const text = env[name]!
  const value = Number(text)
  if (Number.isInteger(value) && value >= from && value <= to) return value
  throw new MagrpoError('ERR_RANK', `Expected an integer from ${from} to ${to} in ${name} but received "${text}".`, {
    details: { variable: name },
  })
}
