// A task of one's own: two agents go on with the same words, one as long as it can, the other as short, and are paid together.
import { defineTask } from 'magrpo'

export default defineTask({
  name: 'opposites',
  agents: ['brief', 'wordy'],
  items: ['Once upon a time', 'One day', 'The little dog', 'In the garden'].map((opening) => ({ opening })),
  observe: (item) => item.opening,
  reward: (_item, [brief, wordy]) => {
    const words = (text = '') => text.split(/\s+/).filter((word) => word !== '').length
    const difference = words(wordy?.text) - words(brief?.text)
    return { total: Math.tanh(difference / 10), parts: { difference } }
  },
})
