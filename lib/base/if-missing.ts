/** For the `catch` of a promise about a file: gives `value` if there is no such file, and throws any other error on. */
export function ifMissing<T>(value: T): (error: NodeJS.ErrnoException) => T {
  return (error) => {
    if (error.code === 'ENOENT') return value
    throw error
  }
}
