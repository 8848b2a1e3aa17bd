import test from 'ava'
import { checkRankKills } from '../support/rank-kills.ts'

test('killed at 100 random instants on any rank, resumed with another number of ranks', (t) => {
  t.timeout(3 * 3_600_000)
  return checkRankKills(t, 100)
})
