/** What keeps other web pages and programs of other machines away from the watch page. */
import type { IncomingMessage } from 'node:http'

/**
 * Headers of every answer. The page may load its own files and nothing else; what it shows as text can't become code (trusted
 * types without a policy); no other page may frame, embed or read it.
 */
export const securityHeaders: Readonly<Record<string, string>> = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
}

/**
 * Whether a request is meant for this server by name. A web page whose own host name was pointed at this machine (DNS rebinding)
 * sends that name, so only names of the loopback are answered.
 */
export function isForLoopback({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  const host = /^(.*?)(?::\d+)?$/.exec(headers.host ?? '')?.[1]?.toLowerCase()
  if (host !== '127.0.0.1' && host !== 'localhost' && host !== '[::1]') return false
  const site = headers['sec-fetch-site']
  if (site === undefined || site === 'same-origin' || site === 'none') return true
  // A link to the page may stand anywhere; what the page asks for, only the page may.
  return headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document'
}
