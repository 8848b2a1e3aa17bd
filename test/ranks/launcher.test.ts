import test from 'ava'
import { placeOfProcess } from '../../lib/ranks/launcher.ts'

const torchrun = { RANK: '1', WORLD_SIZE: '4', LOCAL_RANK: '1', MASTER_ADDR: 'here', MASTER_PORT: '1234' }

test('a process without a launcher, or alone under one, stands alone', (t) => {
  t.is(placeOfProcess({}), null)
  t.is(placeOfProcess({ RANK: '0', WORLD_SIZE: '1', MASTER_ADDR: 'here' }), null)
  // Slurm sets these in a script of a job too, where nobody else runs it.
  t.is(placeOfProcess({ SLURM_PROCID: '0', SLURM_NTASKS: '8' }), null)
})

test('the names of torchrun, srun and mpirun', (t) => {
  t.like(placeOfProcess(torchrun), { rank: 1, size: 4, localRank: 1, address: 'here', port: 1234, hostsStore: false })
  const srun = { SLURM_PROCID: '3', SLURM_STEP_NUM_TASKS: '4', SLURM_LOCALID: '1', MASTER_ADDR: 'node1' }
  t.like(placeOfProcess(srun), { rank: 3, size: 4, localRank: 1, address: 'node1', port: 29_500, launcher: 'srun' })
  const mpirun = { OMPI_COMM_WORLD_RANK: '0', OMPI_COMM_WORLD_SIZE: '2', OMPI_COMM_WORLD_LOCAL_SIZE: '2' }
  t.like(placeOfProcess(mpirun), { rank: 0, size: 2, address: '127.0.0.1', hostsStore: true, launcher: 'mpirun' })
})

test('rank 0 opens the store unless the launcher has one; a new attempt has keys of its own', (t) => {
  const first = { ...torchrun, RANK: '0' }
  t.true(placeOfProcess(first)?.hostsStore)
  const place = placeOfProcess({ ...first, TORCHELASTIC_USE_AGENT_STORE: 'True', TORCHELASTIC_RESTART_COUNT: '2' })
  t.like(place, { hostsStore: false, prefix: 'magrpo/2' })
})

test('variables that are half set, missing or senseless are named', (t) => {
  const says = (env: Record<string, string>, message: RegExp) =>
    t.throws(() => placeOfProcess(env), { code: 'ERR_RANK', message })
  says({ RANK: '0' }, /RANK is set \(0\) but WORLD_SIZE is not/)
  says({ WORLD_SIZE: '2' }, /WORLD_SIZE is set \(2\) but RANK is not/)
  says({ OMPI_COMM_WORLD_RANK: '0' }, /OMPI_COMM_WORLD_SIZE is not/)
  says({ RANK: '0', WORLD_SIZE: '2' }, /MASTER_ADDR/)
  says({ ...torchrun, RANK: '4' }, /from 0 to 3 in RANK but received "4"/)
  says({ ...torchrun, WORLD_SIZE: 'two' }, /in WORLD_SIZE but received "two"/)
  says({ ...torchrun, MASTER_PORT: '70000' }, /MASTER_PORT/)
})
