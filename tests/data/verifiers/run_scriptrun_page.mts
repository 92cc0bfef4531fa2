
// Answers each case on standard input with the verifier above, which throws for no.
import { readFileSync } from 'node:fs'

for (const line of readFileSync(0, 'utf8').split('\n').slice(0, -1)) {
  const [, secret, body, signature] = line.split('\x1f')
  try {
    verify(Buffer.from(body, 'base64').toString('utf8'), signature, secret)
    console.log('valid')
  } catch {
    console.log('invalid')
  }
}
