
// Answers each case on standard input with the verifiers above.
import { readFileSync } from 'node:fs'

for (const line of readFileSync(0, 'utf8').split('\n').slice(0, -1)) {
  const [format, secret, body, signature, nextSignature, id, timestamp] = line.split('\x1f')
  const rawBody = Buffer.from(body, 'base64')
  const valid =
    format === 'scriptrun' ? verifyScriptRun(rawBody, signature, secret)
    : format === 'autorx' ? verifyAutoRx(rawBody, signature, nextSignature, secret)
    : verifyStandard(rawBody, id, timestamp, signature, secret)
  console.log(valid ? 'valid' : 'invalid')
}
