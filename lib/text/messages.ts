/** Messages of a chat, as prompts and chat templates take them. */

/** One message of a chat, as chat templates take it. */
export interface ChatMessage {
  role: 'system' | 'user' | 'assistant'
  content: string
}
